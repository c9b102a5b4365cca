"""Bodies on the wire: JSON, and JSON followed by raw tensors (the binary tensor extension)."""

from __future__ import annotations

import asyncio
import base64
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from service.errors import Malformed, TooLarge, UnsupportedMedia
from service.protocol import tensors
from service.protocol.parts import Part
from service.protocol.schemas import InferenceInput, InferenceRequest

HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"

# JSON becomes Python objects of 10 to 35 times its size, at 20 MB/s and with the interpreter's
# lock held (measured): larger tensors come as bytes.
MAX_JSON_BYTES = 8 * 2**20
_MAX_OBJECT_BYTES = 2**16

_LENGTH = re.compile(r"[0-9]{1,12}")
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # deflate is zlib's format (RFC 9110, 8.4.1.2)


@dataclass(frozen=True)
class Sent:
    """A request's JSON, and the bytes of each input that came after it."""

    json: InferenceRequest
    raw: list[memoryview | None]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the one input that every model here has."""
        return tuple(self.json.inputs[0].shape)

    def parameter(self, name: str) -> object:
        return (self.json.parameters or {}).get(name)


@dataclass(frozen=True)
class Output:
    """A tensor to answer: an array, or the elements of a BYTES tensor."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: NDArray[Any] | list[bytes]
    binary: bool


async def read_body(request: Request, limit: int) -> bytes:
    """The body, unpacked if it is compressed.

    Raises:
        TooLarge: it is larger than `limit` bytes, as sent or unpacked.
        UnsupportedMedia: compressed, but neither by gzip nor deflate.
        Malformed: not what its Content-Encoding says.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:12]) > limit:
        raise _too_large(limit)
    if encoding == "identity":
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
        return bytes(body)
    if encoding not in _WINDOW_BITS:
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:64]!r} is not taken: send gzip, deflate or identity",
            headers={"Accept-Encoding": "gzip, deflate"},
        )
    return await _unpacked(request, encoding, limit)


async def _unpacked(request: Request, encoding: str, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    body = bytearray()
    try:
        async for chunk in request.stream():
            # A chunk may be a bomb: in another thread, and no further than the limit.
            body += await asyncio.to_thread(unpacker.decompress, chunk, limit + 1 - len(body))
            if len(body) > limit:
                raise _too_large(limit)
    except zlib.error:
        raise Malformed(f"the body is not what Content-Encoding: {encoding} says") from None
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed(f"the {encoding} body is cut short, or goes on after its end")
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request that is no inference; none sent is an empty one.

    Raises:
        Malformed: anything else.
    """
    body = await read_body(request, _MAX_OBJECT_BYTES)
    try:
        sent = from_json(body) if body.strip() else {}
    except ValueError as error:
        raise Malformed(f"failed to read the request JSON: {error}") from None
    if not isinstance(sent, dict):
        raise Malformed("the request must be a JSON object, or have no body")
    return sent


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit} bytes that are taken in one request")


def parse(body: bytes, header_length: str | None) -> Sent:
    """Reads a request's body, of which the first `header_length` bytes are JSON (default: all).

    Raises:
        Malformed: not JSON, not an inference request, or bytes that do not add up.
        TooLarge: more JSON than is taken.
    """
    length = len(body)
    if header_length is not None:
        if not _LENGTH.fullmatch(header_length) or int(header_length) > length:
            raise Malformed(
                f"{HEADER}: {header_length[:64]!r} must be the bytes of JSON that the body of "
                f"{length} bytes starts with, counted after unpacking"
            )
        length = int(header_length)
    if length > MAX_JSON_BYTES:
        raise TooLarge(
            f"{length} bytes of JSON; up to {MAX_JSON_BYTES} are taken: send the tensors with "
            f"the binary extension (binary_data_size and {HEADER})"
        )
    try:
        json = InferenceRequest.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:64] or "the body"
        raise Malformed(
            f'failed to read the request JSON: {where}: {first["msg"]}; send {{"inputs": '
            '[{"name", "shape", "datatype", "data"}]}'
        ) from None
    raw: list[memoryview | None] = []
    rest = memoryview(body)[length:]
    for sent in json.inputs:
        size = (sent.parameters or {}).get("binary_data_size")
        if size is None:
            raw.append(None)
            continue
        taken = _checked(sent, size, len(rest))
        raw.append(rest[:taken])
        rest = rest[taken:]
    if rest:
        raise Malformed(f"{len(rest)} bytes after the last tensor that binary_data_size counts")
    return Sent(json, raw)


def _checked(sent: InferenceInput, size: object, left: int) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
        raise Malformed(
            f"binary_data_size {str(size)[:32]!r} of input {sent.name[:64]!r} must be its bytes "
            f"after the JSON; {left} are left there (see the header {HEADER})"
        )
    if sent.data is not None:
        raise Malformed(f"input {sent.name[:64]!r} has both data and binary_data_size: send one")
    return size


def answer(part: Part, sent: Sent, outputs: Sequence[Output]) -> Response:
    """The answer, with raw tensors after the JSON if any output is to be binary."""
    described, tail = [], []
    for output in outputs:
        tensor: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if output.binary:
            tail.append(_raw(output))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = _json(output)
        described.append(tensor)
    document = {
        "model_name": part.name,
        "model_version": str(part.served.manifest.version),
        **({} if sent.json.id is None else {"id": sent.json.id}),
        "outputs": described,
    }
    head = to_json(document)
    if not tail:
        return Response(head, media_type="application/json")
    headers = {HEADER: str(len(head))}
    return Response(b"".join([head, *tail]), headers=headers, media_type=BINARY)


def _raw(output: Output) -> bytes:
    if isinstance(output.values, list):
        return tensors.raw_of_strings(output.values)
    return tensors.raw_of_numbers(output.values, output.datatype)


def _json(output: Output) -> list[Any]:
    if isinstance(output.values, np.ndarray):
        numbers: list[Any] = output.values.ravel().tolist()
        return numbers
    if output.name == "images":  # files, which JSON's strings cannot hold
        return [base64.b64encode(element).decode() for element in output.values]
    return [element.decode() for element in output.values]
