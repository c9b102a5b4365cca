"""Which model takes these images, and the images as it takes them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from service import images
from service.errors import Unprocessable
from service.images import Fit, Images
from service.manifest import Ability, ImageShape
from service.routes.running import aside, catalog_of
from service.served import Served


def choose(
    request: Request,
    ability: Ability,
    sent: Sequence[Images],
    *,
    model: str,
    version: int | None,
    fit: Fit,
) -> Served:
    """The model asked for, or the best that takes all of these. Raises as `Catalog.choose`."""
    return catalog_of(request).choose(
        ability,
        name=model,
        version=version,
        shapes=[image.shape for image in sent],
        resizable=fit == "resize",
    )


async def fitted(sent: Sequence[Images], shape: ImageShape, fit: Fit) -> list[Images]:
    """The images as the model takes them: its channels, and its size if resizing was asked for.

    Raises:
        Unprocessable: a wrong size; the detail names the size that the model takes.
    """
    for i, image in enumerate(sent):
        height, width = image.shape[:2]
        if not shape.fits(height, width) and fit != "resize":
            place = f"image {i}: " if len(sent) > 1 else ""
            raise Unprocessable(
                f"{place}the image is {width}x{height}, and this model takes {shape}: "
                "send that size, or ask for fit=resize",
                extra={"image": shape.model_dump(), "index": i},
            )

    def convert() -> list[Images]:
        return [images.with_channels(_resized(image, shape), shape.channels) for image in sent]

    return await aside(convert, pixels=sum(image.size for image in sent))


def _resized(image: Images, shape: ImageShape) -> Images:
    height, width = image.shape[:2]
    if shape.fits(height, width):
        return image
    return images.resize(
        image,
        shape.height or max(height, shape.smallest),
        shape.width or max(width, shape.smallest),
    )
