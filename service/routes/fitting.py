"""Which model takes these images, and the images as it takes them."""

from __future__ import annotations

import math

from fastapi import Request

from service import images
from service.errors import TooLarge, Unprocessable
from service.images import Fit, Images
from service.manifest import Ability, ImageShape
from service.routes.running import aside, catalog_of
from service.rows import Rows, shapes, size, together
from service.served import Served


def choose(
    request: Request,
    ability: Ability,
    sent: Rows,
    *,
    model: str,
    version: int | None,
    fit: Fit,
) -> Served:
    """The model asked for, or the best that takes all of these.

    Raises:
        RequestError: as `Catalog.choose` does.
        TooLarge: resized, they would have more pixels than one request may send.
    """
    served = catalog_of(request).choose(
        ability,
        name=model,
        version=version,
        shapes=shapes(sent),
        resizable=fit == "resize",
    )
    if fit == "exact":
        return served
    limit = request.app.state.settings.max_pixels
    pixels = sum(
        math.prod(_size(shape, served.manifest.image)) for shape in (image.shape for image in sent)
    )
    if pixels > limit:
        raise TooLarge(
            f"resized to what {served.manifest.name} takes, these are {pixels} pixels; up to "
            f"{limit} are taken in one request: send fewer or smaller images"
        )
    return served


async def fitted(sent: Rows, shape: ImageShape, fit: Fit) -> Rows:
    """The images as the model takes them: its channels, and its size if resizing was asked for.

    Raises:
        Unprocessable: a wrong size; the detail names the size that the model takes.
    """
    found = shapes(sent)
    if all(shape.fits(*size) and shape.keeps(channels) for *size, channels in found):
        return sent
    for i, (height, width, _) in enumerate(found):
        if not shape.fits(height, width) and fit != "resize":
            place = f"image {i}: " if len(sent) > 1 else ""
            raise Unprocessable(
                f"{place}the image is {width}x{height}, and this model takes {shape}: "
                "send that size, or ask for fit=resize",
                extra={"image": shape.model_dump(), "index": i},
            )

    def convert() -> Rows:
        return together([_with_channels(_resized(image, shape), shape) for image in sent])

    return await aside(convert, pixels=size(sent))


def _with_channels(image: Images, shape: ImageShape) -> Images:
    channels = image.shape[2]
    return image if shape.keeps(channels) else images.with_channels(image, shape.channels)


def _resized(image: Images, shape: ImageShape) -> Images:
    height, width = _size(image.shape, shape)
    return image if (height, width) == image.shape[:2] else images.resize(image, height, width)


def _size(found: tuple[int, ...], shape: ImageShape) -> tuple[int, int]:
    """Height and width of such an image as the model takes it."""
    height, width = found[:2]
    if shape.fits(height, width):
        return height, width
    return (
        shape.height or max(height, shape.smallest),
        shape.width or max(width, shape.smallest),
    )
