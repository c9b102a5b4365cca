"""A model whose runs hang or fail when an image tells them to: no switch in the service does."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from service.manifest import ImageShape
from tests.toy_graphs import graph
from tests.toys import _publish

HANG, FAIL = 255, 254
# Turns of a loop that every run takes, so that none is short enough for the event loop.
_FEW = 20_000
_PIXELS = ["batch", 12, 12, 1]


def faulty(models: Path, name: str = "toy-faulty", *, hang_seconds: float = 10) -> Path:
    """A grey identity of 12x12; a pixel of 255 makes it hang for about so long, one of 254 fail."""
    encoder = _encoder(round(hang_seconds / _seconds_per_turn()))
    decoder = graph(
        [
            helper.make_node("Round", ["latents"], ["rounded"]),
            helper.make_node("Clip", ["rounded", "zero", "white"], ["clipped"]),
            helper.make_node("Cast", ["clipped"], ["images"], to=TensorProto.UINT8),
        ],
        ("latents", TensorProto.FLOAT, _PIXELS),
        [("images", TensorProto.UINT8, _PIXELS)],
        {"zero": 0, "white": 255},
    )
    image = (np.arange(144) % 200).astype(np.uint8).reshape(12, 12, 1)
    return _publish(
        models, name, 1, encoder, decoder, ImageShape(height=12, width=12, channels=1), image, image,
        latent_shape=(12, 12, 1), psnr=5.0, corruption=None, abilities=("reconstruct", "encode"),
    )  # fmt: skip


@cache
def _seconds_per_turn() -> float:
    """On this machine: a hang of so many turns may be too short to be seen on a faster one."""
    turns = 100_000
    session = ort.InferenceSession(_encoder(turns).SerializeToString())
    image = np.full((1, 12, 12, 1), HANG, np.uint8)
    started = time.perf_counter()
    session.run(None, {"images": image})
    return (time.perf_counter() - started) / turns


def _encoder(turns: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["going_on"]),
            helper.make_node("Add", ["before", "before"], ["after"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, []),
        ],
    )
    return graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["floats"], ["brightest"], keepdims=0),
            helper.make_node("Equal", ["brightest", "hang"], ["hangs"]),
            helper.make_node("Cast", ["hangs"], ["hang_count"], to=TensorProto.INT64),
            helper.make_node("Mul", ["hang_count", "many"], ["more"]),
            helper.make_node("Add", ["more", "few"], ["turns"]),
            helper.make_node("Loop", ["turns", "", "zero"], ["nothing"], body=body),
            helper.make_node("Equal", ["brightest", "fail"], ["fails"]),
            helper.make_node("Cast", ["fails"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["one_zero", "place"], ["nothing_else"]),
            helper.make_node("Add", ["floats", "nothing"], ["sum"]),
            helper.make_node("Add", ["sum", "nothing_else"], ["latents"]),
        ],
        ("images", TensorProto.UINT8, _PIXELS),
        [("latents", TensorProto.FLOAT, _PIXELS)],
        {
            "hang": HANG,
            "fail": FAIL,
            "zero": 0,
            "many": np.array(turns, np.int64),
            "few": np.array(_FEW, np.int64),
            "one_zero": np.zeros(1, np.float32),
        },
    )
