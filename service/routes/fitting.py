"""Which model takes these images, and the images as it takes them."""

from __future__ import annotations

import math

from fastapi import Request

from service import images
from service.corruption import Damage
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
    undoing: Damage = "gaussian",
) -> Served:
    """The model asked for, or the best that takes all of these.

    Raises:
        RequestError: as `Catalog.choose` does.
        TooLarge: what has to run whole, or to be resized, is more than one request may bring.
    """
    served = catalog_of(request).choose(
        ability,
        name=model,
        version=version,
        shapes=shapes(sent),
        resizable=fit == "resize",
        undoing=undoing,
    )
    in_tiles = ability in ("denoise", "reconstruct")
    if in_tiles and fit == "exact":
        return served
    shape, limit = served.manifest.image, request.app.state.settings.whole_pixels
    pixels = sum(
        math.prod(_size(image.shape, shape))
        for image in sent
        if not (in_tiles and shape.fits(*image.shape[:2]))
    )
    if pixels > limit:
        raise TooLarge(
            f"as {served.manifest.name} takes them, these are {pixels} pixels, and up to {limit} "
            f"are resized or run whole in one request (to {ability}): send fewer or smaller images"
        )
    return served


async def fitted(sent: Rows, shape: ImageShape, fit: Fit) -> Rows:
    """The images as the model takes them: its channels, and its size if resizing was asked for.

    Raises:
        Unprocessable: a wrong size; the detail names the size that the model takes.
    """
    found = shapes(sent)
    if all(shape.fits(height, width) and shape.keeps(many) for height, width, many in found):
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
