"""What an answer keeps of its image's file beside the pixels, and what of it is laid on white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from service.images import Images
from service.kept import Kept, on_white
from service.manifest import ImageShape
from service.routes.bodies import Upload
from service.routes.running import aside
from service.rows import Rows, size, together

Keeps = Sequence[Kept | None] | None


async def kept_by(upload: Upload, kept: Sequence[Kept | None], shape: ImageShape) -> Upload:
    """The upload as a model that takes such images has it.

    Where it takes any size, a picture's alpha passes it by and its pixels are as they are in the
    file. Where the size is fixed, or the picture is resized, alpha is laid on white and gone.
    """
    beside = list(kept)
    pictures = [*upload.images, *(() if upload.references is None else upload.references)]
    count = len(upload.images)

    def lay() -> None:
        for i, each in enumerate(beside):
            if each is None or each.alpha is None:
                continue
            height, width = pictures[i % count].shape[:2]
            if shape.height is not None or not shape.fits(height, width):
                pictures[i] = on_white(pictures[i], each.alpha)
                beside[i] = replace(each, alpha=None)

    await aside(lay, pixels=size(pictures))
    return replace(
        upload,
        images=together(pictures[:count]),
        references=together(pictures[count:]) if upload.references is not None else None,
        kept=beside[:count],
    )


def flat(made: Rows, kept: Keeps) -> Rows:
    """The images on white, for answers that have no alpha."""
    if kept is None or not any(each and each.alpha is not None for each in kept):
        return made
    laid: list[Images] = [
        image if each is None or each.alpha is None else on_white(image, each.alpha)
        for image, each in zip(made, kept, strict=True)
    ]
    return together(laid)
