"""A model whose runs hang or fail when an image tells them to: no switch in the service does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from service.manifest import ImageShape
from tests.toy_graphs import graph
from tests.toys import _publish

HANG, FAIL = 255, 254
_FEW = (
    20_000  # turns of a loop that every run takes, so that none is short enough for the event loop
)


def faulty(models: Path, name: str = "toy-faulty", *, turns: int = 2_000_000) -> Path:
    """A grey identity of 12x12; a pixel of 255 makes it turn for seconds, one of 254 makes it fail."""
    pixels = ["batch", 12, 12, 1]
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
    encoder = graph(
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
        ("images", TensorProto.UINT8, pixels),
        [("latents", TensorProto.FLOAT, pixels)],
        {
            "hang": HANG,
            "fail": FAIL,
            "zero": 0,
            "many": np.array(turns, np.int64),
            "few": np.array(_FEW, np.int64),
            "one_zero": np.zeros(1, np.float32),
        },
    )
    decoder = graph(
        [
            helper.make_node("Round", ["latents"], ["rounded"]),
            helper.make_node("Clip", ["rounded", "zero", "white"], ["clipped"]),
            helper.make_node("Cast", ["clipped"], ["images"], to=TensorProto.UINT8),
        ],
        ("latents", TensorProto.FLOAT, pixels),
        [("images", TensorProto.UINT8, pixels)],
        {"zero": 0, "white": 255},
    )
    image = (np.arange(144) % 200).astype(np.uint8).reshape(12, 12, 1)
    return _publish(
        models, name, 1, encoder, decoder, ImageShape(height=12, width=12, channels=1), image, image,
        latent_shape=(12, 12, 1), psnr=5.0, corruption=None, abilities=("reconstruct", "encode"),
    )  # fmt: skip
