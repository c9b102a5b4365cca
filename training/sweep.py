"""Measures the shipped graphs over noise strengths, on the whole test set.

Each strength is read twice. `clipped` is what can be served: noisy images are uint8, so noise ends
at black and white. `unclipped` is what the reports measured: noisy images are floats that leave
[0, 1], which the graphs take once the type of their input is changed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from service import manifest, quality
from service.manifest import Manifest
from service.model import Model
from training.data import Dataset
from training.seeds import named

Array = NDArray[np.uint8]
Values = dict[str, float]

# R2's sweep; photographs are beyond recognition long before, so theirs is finer.
LEVELS = tuple(round(k / 10, 1) for k in range(10))
FINE = (0.0, 0.025, 0.05, 0.075, 0.1, 0.125, 0.158, 0.2, 0.25, 0.3)
_SLICE = 1000


def noise(
    folder: Path, dataset: Dataset, *, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """How far noise of each strength is undone: mean MSE and PSNR of the input and the output."""
    card = manifest.read(folder)
    levels = FINE if dataset.name in ("cifar10", "photos") else LEVELS
    clean = dataset.test.pixels.numpy()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        models = {"clipped": Model.open(folder), "unclipped": floating(folder, Path(scratch))}
        for std in levels:
            sums: dict[tuple[str, str], Values] = {}
            for start, noisy in _noisy(clean, std):
                part = clean[start : start + _SLICE]
                for reading, model in models.items():
                    shown = as_served(noisy) if reading == "clipped" else noisy
                    # The graphs do not care that the type says uint8; see `floating`.
                    answer = model.reconstruct(shown)  # type: ignore[arg-type]
                    _add(sums, (reading, "input"), shown, part)
                    _add(sums, (reading, "model"), answer, part)
            scores = {
                reading: {
                    subject: {
                        k: round(v / len(clean), 6) for k, v in sums[reading, subject].items()
                    }
                    for subject in ("input", "model")
                }
                for reading in models
            }
            rows.append({"std": std, **scores})
            if progress is not None:
                progress(std)
    return {"dataset": dataset.name, "graphs": graphs(card), "images": len(clean), "levels": rows}


def graphs(card: Manifest) -> str:
    """What a result was measured on: it is stale once this has changed."""
    return f"{card.files['encoder.onnx'][:16]} {card.files['decoder.onnx'][:16]}"


def floating(folder: Path, scratch: Path) -> Model:
    """The model of `folder`, made in `scratch` to take float grey levels that may leave 0 to 255.

    The first thing an encoder does to its input is to make it float: for an input that is float
    already, that step does nothing.
    """
    encoder = onnx.load(folder / "encoder.onnx")
    (images,) = encoder.graph.input
    images.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    # The types that were inferred for what comes before that step no longer hold.
    del encoder.graph.value_info[:]
    onnx.save(encoder, scratch / "encoder.onnx")
    shutil.copyfile(folder / "decoder.onnx", scratch / "decoder.onnx")
    return Model.open(scratch)


def as_served(levels_NHWC: NDArray[np.float32]) -> Array:
    """Float grey levels as the uint8 images that a request can hold."""
    return np.clip(np.rint(levels_NHWC), 0, 255).astype(np.uint8)


def _noisy(clean: Array, std: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Slices of the images with noise on them, the same for every model."""
    rng = np.random.default_rng(named(0, f"sweep {std}"))
    for start in range(0, len(clean), _SLICE):
        part = clean[start : start + _SLICE].astype(np.float32)
        yield start, part + np.float32(std * 255) * rng.standard_normal(part.shape, np.float32)


def _add(
    sums: dict[tuple[str, str], Values], key: tuple[str, str], found: NDArray[Any], clean: Array
) -> None:
    """Adds MSE and PSNR of each image; SSIM would take ten times as long as the networks do."""
    error = np.square((found.astype(np.float32) - clean) / 255).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        psnr = np.minimum(-10 * np.log10(error), quality.PSNR_CAP)
    values = sums.setdefault(key, {"mse": 0.0, "psnr": 0.0})
    values["mse"] += float(error.sum())
    values["psnr"] += float(psnr.sum())
