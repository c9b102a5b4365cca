"""onnxruntime in this process, without a server: what a batch costs at least.

`python -m benchmarks.raw FOLDER SECONDS` prints requests of 256 images a second by slice size, as
JSON; with `--apart`, the microseconds of one image in each graph alone, and in both in turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.payloads import known_image, variations

SLICES = (8, 16, 32, 64, 128, 256)


def measure(folder: Path, *, seconds: float = 1.0, count: int = 256) -> dict[int, float]:
    """Requests of `count` images a second, through encoder and decoder in slices of each size."""
    encoder, decoder = _graphs(folder)
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


def apart(folder: Path, *, seconds: float = 1.0) -> dict[str, float]:
    """Microseconds of one image through each graph and through both: what their weights cost.

    What fits in a processor's cache alone may not fit in it together.
    """
    encoder, decoder = _graphs(folder)
    image = variations(known_image(folder.parent.name), 1)
    latents = encoder.run(["latents"], {"images": image})[0]

    def encode() -> None:
        encoder.run(["latents"], {"images": image})

    def decode() -> None:
        decoder.run(["images"], {"latents": latents})

    def both() -> None:
        encode()
        decode()

    return {f.__name__: _microseconds(f, seconds / 3) for f in (encode, decode, both)}


def _microseconds(function: Callable[[], None], seconds: float) -> float:
    took, end = list[float](), time.perf_counter() + seconds
    while not took or time.perf_counter() < end:
        started = time.perf_counter()
        function()
        took.append(time.perf_counter() - started)
    return round(1e6 * float(np.median(took)), 1)


def _graphs(folder: Path) -> tuple[ort.InferenceSession, ort.InferenceSession]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    encoder, decoder = (
        ort.InferenceSession(folder / f"{name}.onnx", options) for name in ("encoder", "decoder")
    )
    return encoder, decoder


def main() -> None:
    """Prints what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--apart", action="store_true", help="each graph alone, and both in turn")
    given = parser.parse_args()
    measured = apart if given.apart else measure
    print(json.dumps(measured(given.folder, seconds=given.seconds)))


if __name__ == "__main__":
    main()
