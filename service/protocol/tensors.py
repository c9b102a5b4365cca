"""Tensors as the protocol carries them: numbers in JSON or raw, BYTES as strings or prefixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import Malformed
from service.protocol.parts import TensorSpec

Array = NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("u1"), "FP32": np.dtype("<f4")}
_NUMBERS: dict[str, set[type]] = {"UINT8": {int}, "FP32": {int, float}}


def numbers_of_raw(raw: memoryview, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """A tensor of little-endian bytes, row by row.

    Raises:
        Malformed: not as many bytes as the shape says, or a number that is not finite.
    """
    dtype = _DTYPES[spec.datatype]
    expected = math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        raise Malformed(
            f"input '{spec.name}' of shape {list(shape)} and datatype {spec.datatype} is "
            f"{expected} bytes, but {len(raw)} were sent"
        )
    # The JSON in front may be of any length; graphs read floats from addresses divisible by 4.
    array = np.require(np.frombuffer(raw, dtype), requirements="A")
    return _finite(array, spec).reshape(shape)


def numbers_of_json(data: object, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """A tensor of JSON numbers, flat or nested as its shape is.

    Raises:
        Malformed: no list, ragged, of another shape, not numbers, or out of range.
    """
    flat = _flat(data, spec.name, shape)
    if not set(map(type, flat)) <= _NUMBERS[spec.datatype]:
        wanted = "integers from 0 to 255" if spec.datatype == "UINT8" else "numbers"
        raise Malformed(f"data of input '{spec.name}' must be {wanted} ({spec.datatype})")
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
            array = np.array(flat, _DTYPES[spec.datatype])
    except OverflowError:
        raise Malformed(
            f"data of input '{spec.name}' holds a number out of the range of {spec.datatype}"
        ) from None
    return _finite(array, spec).reshape(shape)


def strings_of_raw(raw: memoryview, name: str, shape: tuple[int, ...]) -> list[bytes]:
    """The elements of a BYTES tensor: each its length in 4 bytes, little-endian, then itself.

    Raises:
        Malformed: the lengths do not add up, or not as many elements as the shape says.
    """
    elements: list[bytes] = []
    place, count = 0, math.prod(shape)
    while place < len(raw) and len(elements) < count:
        start = place + 4
        place = start + int.from_bytes(raw[place:start], "little")
        elements.append(bytes(raw[start:place]))
    if place != len(raw) or len(elements) != count:
        raise Malformed(
            f"input '{name}' of shape {list(shape)} must be {count} BYTES elements, each a 4-byte "
            "little-endian length and that many bytes, and nothing else"
        )
    return elements


def strings_of_json(data: object, name: str, shape: tuple[int, ...]) -> list[str]:
    """The elements of a BYTES tensor in JSON.

    Raises:
        Malformed: no list, ragged, of another shape, or not strings.
    """
    flat = _flat(data, name, shape)
    if not set(map(type, flat)) <= {str}:
        raise Malformed(f"data of input '{name}' must be strings (BYTES)")
    return flat


def raw_of_numbers(array: Array, datatype: str) -> bytes:
    """A tensor as little-endian bytes, row by row."""
    little: Array = array.astype(_DTYPES[datatype], copy=False)
    return little.tobytes()


def raw_of_strings(elements: Sequence[bytes]) -> bytes:
    """A BYTES tensor as `strings_of_raw` reads it."""
    return b"".join(chain.from_iterable((len(e).to_bytes(4, "little"), e) for e in elements))


def _flat(data: object, name: str, shape: tuple[int, ...]) -> list[Any]:
    """The elements of a list that is flat, or nested as `shape` is."""
    if not isinstance(data, list):
        raise Malformed(
            f"input '{name}' has no data: send a list as `data`, or bytes after the JSON with "
            "the parameter `binary_data_size` and the header Inference-Header-Content-Length"
        )
    flat: list[Any] = data
    lengths = [len(flat)]
    while flat and isinstance(flat[0], list):
        if set(map(type, flat)) != {list} or len(set(map(len, flat))) != 1:
            raise Malformed(f"data of input '{name}' is ragged")
        lengths.append(len(flat[0]))
        flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(shape):
        raise Malformed(
            f"input '{name}' of shape {list(shape)} holds {math.prod(shape)} elements, but "
            f"{len(flat)} were sent"
        )
    if len(lengths) > 1 and tuple(lengths) != shape:
        raise Malformed(f"data of input '{name}' is nested as {lengths}, not as {list(shape)}")
    return flat


def _finite(array: Array, spec: TensorSpec) -> Array:
    if spec.datatype == "FP32" and not np.isfinite(array).all():
        raise Malformed(f"input '{spec.name}' holds a number that is NaN or infinite")
    return array
