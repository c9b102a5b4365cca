"""onnxruntime in this process, without a server: what a batch costs at least.

`python -m benchmarks.raw FOLDER` prints images a second by slice size, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.payloads import known_image, variations

SLICES = (8, 16, 32, 64, 128, 256)


def measure(folder: Path, *, seconds: float = 1.0, count: int = 256) -> dict[int, float]:
    """Requests of `count` images a second, through encoder and decoder in slices of each size."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    encoder = ort.InferenceSession(folder / "encoder.onnx", options)
    decoder = ort.InferenceSession(folder / "decoder.onnx", options)
    images = variations(known_image(folder.parent.name), count)
    rates: dict[int, float] = {}
    for size in SLICES:
        runs, started = -1, 0.0  # the first warms up
        while runs < 2 or time.perf_counter() - started < seconds / len(SLICES):
            if runs < 0:
                started = time.perf_counter()
            parts = []
            for i in range(0, count, size):
                latents = encoder.run(["latents"], {"images": images[i : i + size]})[0]
                parts.append(decoder.run(["images"], {"latents": latents})[0])
            np.concatenate(parts)
            runs += 1
            if runs == 0:
                started = time.perf_counter()
        rates[size] = runs / (time.perf_counter() - started)
    return rates


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), seconds=float(sys.argv[2]))))
