"""`python -m training.half TO [NAME ...]`: published models again, their graphs in float16.

For GPUs, served with `AUTOENCODER_MODELS_DIR=TO AUTOENCODER_DEVICE=cuda`. What goes in and comes
out is as it was, so that the service takes such a model like any other, and refuses it if its
golden answer is off by more than its card's tolerance. A CPU casts to float32 and back, and is
slower.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image

from service import manifest
from service.errors import ManifestError
from service.model import Model
from training import data
from training.errors import ExportError

GRAPHS = ("encoder.onnx", "decoder.onnx")  # the others are small


def halved(folder: Path, to: Path) -> Path:
    """The graphs in `folder`, computing in float16, as files in `to`."""
    for name in GRAPHS:
        graph = convert_float_to_float16(onnx.load(folder / name), keep_io_types=True)
        (to / name).write_bytes(graph.SerializeToString(deterministic=True))
    return to


def publish(folder: Path, models: Path) -> Path:
    """Publishes the model in `folder` as a version of the same number in `models`, in float16.

    Its scores stay those of the graphs in float32; its summary says so.

    Raises:
        ManifestError: the model in `folder` does not hold.
        ExportError: in float16 its golden answer is off by more than its card's tolerance.
    """
    card = manifest.read(folder)
    models.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{card.name}.", dir=models))
    staging.chmod(0o755)  # mkdtemp makes it for one user only
    try:
        for name in card.files:
            shutil.copyfile(folder / name, staging / name)
        halved(folder, staging)
        image, answer = map(_pixels, (card.golden.image, card.golden.reconstruction))
        off = Model.open(staging).reconstruct(image[None])[0].astype(int) - answer
        if np.abs(off).max() > card.golden.tolerance:
            raise ExportError(
                f"{card.key} in float16 is off by {np.abs(off).max()} grey levels: serve it in "
                "float32"
            )
        summary = f"{card.summary} Computed in float16; scores are of float32."
        return manifest.write(staging, card.model_copy(update={"summary": summary}), models)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _pixels(base64_png: str) -> NDArray[np.uint8]:
    """uint8 `[H,W,C]`."""
    with Image.open(io.BytesIO(base64.b64decode(base64_png))) as image:
        pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def main(arguments: list[str] | None = None) -> int:
    """Publishes every version of the models named, or of all; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.half", description=__doc__)
    parser.add_argument("to", type=Path, metavar="TO", help="another folder of models")
    parser.add_argument("names", nargs="*", metavar="NAME", help="published models; else all")
    parser.add_argument("--models", type=Path, default=data.CHECKOUT / "models")
    options = parser.parse_args(arguments)
    if options.to.resolve() == options.models.resolve():
        parser.error("TO must be another folder: the models are kept in float32")
    failed = 0
    for name in options.names or sorted(path.name for path in options.models.iterdir()):
        for folder in sorted((options.models / name).glob("[0-9]*")):
            try:
                print(publish(folder, options.to))
            except (ManifestError, ExportError) as error:
                failed += 1
                print(f"error: {name}/{folder.name}: {error}", file=sys.stderr)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
