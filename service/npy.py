"""NumPy's `.npy` bytes <-> arrays, without trusting what the header says.

`numpy.load` allocates what a header asks for, and reads pickles and zip files too. Here the
header is compared with the bytes that follow it before anything is made of either.
"""

from __future__ import annotations

import io
import math
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from service.errors import Malformed, TooLarge, Unprocessable

MEDIA_TYPE = "application/x-npy"
MAGIC = b"\x93NUMPY"

_IMAGES = "send uint8, or floats in [0, 1], as [H,W], [H,W,C], [B,H,W] or [B,H,W,C]"
_WRITE = "write it with numpy.save(file, array)"
_MOST_AXES = 8
_LONGEST = 10_000  # bytes of a header, as numpy has it
_REMEMBERED = 256  # headers


def read(data: bytes) -> NDArray[Any]:
    """The array in `.npy` bytes, of any plain number type, either byte order, C or Fortran order.

    Raises:
        Malformed: no npy file, or its header does not agree with the bytes that follow.
        Unprocessable: it holds Python objects, or anything else that is not plain numbers.
    """
    if not data.startswith(MAGIC):
        raise Malformed(f"these {len(data)} bytes are no npy file: {_WRITE}")
    head = _head(data)
    shape, fortran, dtype = _parsed(head)
    body = memoryview(data)[len(head) :]
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(body):
        raise Malformed(
            f"the npy header says {shape} of {dtype}, which is {expected} bytes, but {len(body)} "
            f"follow it: {_WRITE}"
        )
    flat: NDArray[Any] = np.frombuffer(body, dtype)
    try:
        return flat.reshape(shape, order="F" if fortran else "C")
    except ValueError:  # an axis of 0, and others that overflow
        raise Malformed(f"the npy header says a shape that no array has: {_WRITE}") from None


def _head(data: bytes) -> bytes:
    """All before the array's own bytes: magic, version, the header's length, and the header."""
    begin = 10 if data[6:7] == b"\x01" else 12
    length = int.from_bytes(data[8:begin], "little")
    return data[: begin + min(length, _LONGEST)]


@lru_cache(_REMEMBERED)
def _parsed(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type. Raises as `read` does.

    The header is a Python literal: to read it takes longer than to run a small model.
    """
    file = io.BytesIO(head)
    try:
        version = npy_format.read_magic(file)
        header = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = header(file)
    except KeyError:  # version 3 is for structured types with names that are not ASCII
        raise Unprocessable(f"npy format {head[6]}.{head[7]} is not read here: {_WRITE}") from None
    except Exception as error:  # hostile ones fail in many ways
        raise Malformed(f"the npy header cannot be read: {_WRITE}") from error
    if dtype.kind not in "biuf" or dtype.shape:
        raise Unprocessable(
            f"the npy array holds {str(dtype)[:40]}, and only plain numbers are read: {_IMAGES}"
        )
    # Before any is multiplied or printed: 10,000 bytes of header have room for thousands of axes or
    # digits, and for True, which is an int to Python and none to numpy.
    if len(shape) > _MOST_AXES:
        raise Malformed(f"the npy header says {len(shape)} axes, more than are read: {_WRITE}")
    if any(type(axis) is not int or not 0 <= axis <= sys.maxsize for axis in shape):
        raise Malformed(f"the npy header says a shape that no array has: {_WRITE}")
    return shape, fortran, dtype


def images(array: NDArray[Any], *, max_images: int, max_pixels: int) -> NDArray[np.uint8]:
    """uint8 `[B,H,W,C]` of an array of images.

    The last axis is the channels where it is 1 or 3, so `[B,H,W]` images that are 1 or 3 pixels
    wide need a fourth axis. Floats are scaled by 255 and rounded.

    Raises:
        TooLarge: more images or pixels than that.
        Unprocessable: another shape or type, or floats outside [0, 1].
    """
    images = _four_axes(array)
    count, height, width, channels = images.shape
    if channels not in (1, 3):
        moved = " (channels come last: array.transpose(0, 2, 3, 1))" if height in (1, 3) else ""
        raise Unprocessable(f"an npy array {array.shape} is no batch of images{moved}: {_IMAGES}")
    if not images.size:
        raise Unprocessable(f"an npy array {array.shape} holds no image: {_IMAGES}")
    if count > max_images:
        raise TooLarge(f"{count} images in one request; up to {max_images} are taken")
    if count * height * width > max_pixels:
        raise TooLarge(
            f"{count} images of {width}x{height} pixels; up to {max_pixels} pixels are taken in "
            "one request"
        )
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise Unprocessable(f"pixels of type {images.dtype}: {_IMAGES}")
    # Written so that NaN fails it too.
    good = ((images >= 0) & (images <= 1)).all((1, 2, 3))
    if not good.all():
        index = int(np.argmin(good))
        raise Unprocessable(
            f"image {index} has pixels that are NaN or outside [0, 1]: {_IMAGES} (divide 0..255 "
            "by 255, or send it as uint8)",
            extra={"index": index},
        )
    scaled: NDArray[np.uint8] = np.rint(images.astype(np.float32) * np.float32(255)).astype(
        np.uint8
    )
    return scaled


def _four_axes(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2:
        return array[None, :, :, None]
    if array.ndim == 3:
        return array[None] if array.shape[2] in (1, 3) else array[..., None]
    if array.ndim == 4:
        return array
    raise Unprocessable(f"an npy array of {array.ndim} axes is no batch of images: {_IMAGES}")


def write(array: NDArray[Any]) -> bytes:
    """The array as `.npy` bytes, for `numpy.load`."""
    return b"".join(parts(array))


def parts(array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """The same in two: what comes before the array's own bytes, and those as they are in memory."""
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return _written(array.shape, array.dtype), content.data


@lru_cache(_REMEMBERED)
def _written(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """All before the array's own bytes."""
    file = io.BytesIO()
    says = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(file, says)
    return file.getvalue()
