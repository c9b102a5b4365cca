"""`python -m benchmarks.half [MODEL ...]`: how far float16 moves the shipped models' answers.

The graphs are converted by onnxruntime's own tool and run on the CPU: what has no float16 kernel
there computes in float32 and rounds what it hands on, which is close to what a GPU does. Says of
64 images, variations of the golden one, how many grey levels the answers are off, and whether the
model's golden answer still holds within its card's tolerance. Needs the extra training, for onnx.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import payloads
from benchmarks.payloads import ROOT
from service import admission
from service.model import Images, Model
from service.settings import Settings
from training.half import halved

_COUNT = 64


def apart(made: Images, expected: Images) -> str:
    """How far two answers are from each other."""
    off = np.abs(made.astype(int) - expected)
    return f"{off.max()} grey levels at most, {off.mean():.4f} on average"


def main() -> None:
    """Prints a line a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Plain)
    names = sorted(path.name for path in (ROOT / "models").iterdir())
    parser.add_argument("models", nargs="*", default=names, metavar="MODEL")
    for name in parser.parse_args().models:
        print(f"{name:28} {_effect(payloads.folder(name))}", flush=True)


def _effect(folder: Path) -> str:
    _, whole, golden = admission.admit(folder, Settings())
    with tempfile.TemporaryDirectory() as scratch:
        try:
            half = Model.open(halved(folder, Path(scratch)))
        except Exception as error:  # neither onnx's nor onnxruntime's have a common root
            return f"does not convert: {str(error)[:200]}"
        images = payloads.variations(golden.image, _COUNT)
        latents, halves = (model.encode(images).latents for model in (whole, half))
        moved = np.abs(halves - latents).max() / np.abs(latents).max()
        holds = golden.holds(half.reconstruct(golden.image[None])[0])
        return (
            f"{apart(half.reconstruct(images), whole.reconstruct(images))}; latents {moved:.4f} of "
            f"the largest; golden {'holds' if holds else 'FAILS'}"
        )


class Plain(argparse.RawDescriptionHelpFormatter):
    """The module's own text, as it stands."""


if __name__ == "__main__":
    main()
