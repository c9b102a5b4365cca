"""The graphs that toy autoencoders are made of, built node by node with `onnx.helper`."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

OPSET = [helper.make_opsetid("", 21)]


def graph(nodes, taken, given, constants=None) -> onnx.ModelProto:
    """A checked model of these nodes; `taken` and `given` are the names, types and shapes."""
    inputs = taken if isinstance(taken, list) else [taken]
    initializers = [
        onnx.numpy_helper.from_array(
            value if isinstance(value, np.ndarray) else np.array(value, np.float32), key
        )
        for key, value in (constants or {}).items()
    ]
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*output) for output in given],
        initializers,
    )
    model = helper.make_model(made, opset_imports=OPSET, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def loop() -> onnx.NodeProto:
    """Takes x to itself, `times` times over, in a way that no optimizer sees through."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["on"]),
            helper.make_node("Sin", ["now"], ["sine"]),
            helper.make_node("Sub", ["now", "sine"], ["less"]),
            helper.make_node("Add", ["less", "sine"], ["near"]),
            helper.make_node("Round", ["near"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("now", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["times", "true", "x"], ["latents"], body=body)


def turns(seconds: float, side: int = 12) -> int:
    """How many turns of the loop take so long on this machine, for a grey image `side` wide.

    From one machine to another a turn takes ten times as long.
    """
    return max(1, round(seconds / _seconds_per_turn(side)))


@cache
def _seconds_per_turn(side: int) -> float:
    count = 1000
    shape = ["batch", side, side, 1]
    made = graph(
        [loop()],
        ("x", TensorProto.FLOAT, shape),
        [("latents", TensorProto.FLOAT, shape)],
        {"times": np.array(count, np.int64), "true": np.array(True)},
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), options)
    image, took = np.ones((1, side, side, 1), np.float32), list[float]()
    for _ in range(4):
        started = time.perf_counter()
        session.run(None, {"x": image})
        took.append(time.perf_counter() - started)
    return min(took) / count


def mixture() -> onnx.ModelProto:
    """Latents about -50 or about 50, each as often: what a sampler is."""
    return graph(
        [
            helper.make_node("Sub", ["uniforms", "half"], ["side"]),
            helper.make_node("Floor", ["side"], ["low"]),
            helper.make_node("Mul", ["low", "hundred"], ["shift"]),
            helper.make_node("Add", ["shift", "fifty"], ["centre"]),
            helper.make_node("Unsqueeze", ["centre", "axis"], ["column"]),
            helper.make_node("Add", ["normals", "column"], ["latents"]),
        ],
        [
            ("normals", TensorProto.FLOAT, ["batch", 2]),
            ("uniforms", TensorProto.FLOAT, ["batch"]),
        ],
        [("latents", TensorProto.FLOAT, ["batch", 2])],
        {"half": 0.5, "hundred": 100, "fifty": 50, "axis": np.array([1], np.int64)},
    )


def classifier() -> onnx.ModelProto:
    """Sure of the class whose sign the latents have."""
    return graph(
        [
            helper.make_node("Mul", ["latents", "signs"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        ],
        ("latents", TensorProto.FLOAT, ["batch", 2]),
        [("probabilities", TensorProto.FLOAT, ["batch", 2])],
        {"signs": np.array([-1, 1], np.float32)},
    )
