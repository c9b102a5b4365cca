"""What a caller has -> what goes on the wire: the cheapest body that holds it."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from service import images, npy
from service.errors import RequestError

Array = NDArray[Any]
Picture = Array | Pillow.Image | str | os.PathLike[str] | bytes | bytearray | IO[bytes]
Pictures = Picture | Iterable[Picture]

# An array of one image, or what encodes to one; a file is read when it is sent, not before.
Item = Array | Pillow.Image | Path | bytes

_TAKEN = (
    "send arrays (uint8, or floats in [0, 1]; [H,W], [H,W,C], [B,H,W] or [B,H,W,C]), PIL images, "
    "paths, open files, encoded bytes, or a list of these"
)
_ANY = 2**62


@dataclass(frozen=True)
class Body:
    """A request's body: bytes of a content type, or the files of a form."""

    content: bytes | None = None
    content_type: str = ""
    files: Sequence[tuple[str, tuple[str, bytes]]] | None = None


def items(pictures: Pictures) -> list[Item]:
    """Every single image in `pictures`, in order; arrays become uint8 `[H,W,C]`.

    Raises:
        ValueError: something that is no picture, or an array that cannot be one.
        FileNotFoundError: a path where there is none.
    """
    if isinstance(pictures, np.ndarray):
        return list(_uint8(pictures))
    if isinstance(pictures, str | os.PathLike):
        path = Path(pictures)
        if path.is_dir():
            raise FileNotFoundError(
                f"{path} is a folder: send the pictures in it, if there are any"
            )
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file")
        return [path]
    if isinstance(pictures, Pillow.Image | bytes | bytearray):
        return [pictures if isinstance(pictures, Pillow.Image) else bytes(pictures)]
    if hasattr(pictures, "read"):
        return [pictures.read()]
    if hasattr(pictures, "__array__"):  # another library's array
        return list(_uint8(np.asarray(pictures)))
    if not isinstance(pictures, Iterable):
        raise ValueError(f"{type(pictures).__name__} is no picture: {_TAKEN}")
    return [item for picture in pictures for item in items(picture)]


def _uint8(array: Array) -> NDArray[np.uint8]:
    try:  # by the server's own rule, so that what cannot be sent fails here, and at once
        return npy.images(array, max_images=_ANY, max_pixels=_ANY)
    except RequestError as error:
        raise ValueError(error.detail) from None


def size(item: Item) -> tuple[int, int]:
    """Bytes and pixels of an item, estimated without decoding it."""
    if isinstance(item, np.ndarray):
        return item.nbytes, math.prod(item.shape[:2])
    if isinstance(item, Pillow.Image):
        return item.width * item.height * len(item.getbands()), item.width * item.height
    # Pixels in a file are not known before it is opened; the server says if they are too many.
    return (item.stat().st_size if isinstance(item, Path) else len(item)), 0


def body(pictures: Sequence[Item], references: Sequence[Item] = ()) -> Body:
    """Arrays of one shape as one raw array, which costs no codec; anything else as a form."""
    arrays = [item for item in pictures if isinstance(item, np.ndarray)]
    alike = len({array.shape for array in arrays}) == 1
    if alike and len(arrays) == len(pictures) and not references:
        return Body(npy.write(np.stack(arrays)), npy.MEDIA_TYPE)
    fields = {"images": pictures, "references": references}
    return Body(
        files=[
            (field, (_name(item, i), _encoded(item)))
            for field, sent in fields.items()
            for i, item in enumerate(sent)
        ]
    )


def _name(item: Item, place: int) -> str:
    return item.name if isinstance(item, Path) else str(place)


def _encoded(item: Item) -> bytes:
    if isinstance(item, np.ndarray):
        return images.encode_png(item)
    if isinstance(item, bytes):
        return item
    if isinstance(item, Path):
        return item.read_bytes()
    buffer = io.BytesIO()
    try:
        item.save(buffer, "PNG", compress_level=1)
    except OSError:
        raise ValueError(
            f"a PIL image of mode {item.mode} cannot be sent as it is: image.convert('RGB') can"
        ) from None
    return buffer.getvalue()
