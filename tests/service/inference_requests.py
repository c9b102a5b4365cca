"""Requests of the inference protocol, as its clients write them."""

from __future__ import annotations

import json
import struct

import numpy as np

GREY = np.full((1, 12, 12, 1), 7, np.uint8)
INFER = "/v2/models/toy-identity/infer"
DECODE = "/v2/models/toy-vae.decoder/infer"
HEADER = "Inference-Header-Content-Length"


def tensor(**changes) -> dict:
    valid = {"name": "images", "shape": [1, 12, 12, 1], "datatype": "UINT8", "data": [7] * 144}
    changed = valid | changes
    return {key: value for key, value in changed.items() if value is not ...}


def body(*inputs: dict, **more) -> bytes:
    return json.dumps({"inputs": list(inputs) or [tensor()], **more}).encode()


def binary(raw: bytes, header: str | None = None, size: object = ..., **changes) -> dict:
    """A request whose input comes after the JSON; `header` and `size` may lie."""
    size = len(raw) if size is ... else size
    head = body(tensor(data=..., parameters={"binary_data_size": size}, **changes))
    return {"content": head + raw, "headers": {HEADER: header or str(len(head))}}


def files(*elements: bytes, **changes) -> dict:
    raw = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    return binary(raw, **{"datatype": "BYTES", "shape": [len(elements)], **changes})


def latents(*numbers: object, **changes) -> dict:
    sent = {"name": "latents", "datatype": "FP32", "shape": [1, 2], "data": list(numbers)}
    return {"content": body(tensor(**(sent | changes)))}


RAW = GREY.tobytes()
