"""Scores a model on the whole test set as it will be served: uint8 through the exported graphs.

Beside the model stand doing nothing, a linear filter, PCA with as many latents, and the report.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service import corruption, quality
from service.manifest import Golden, Score
from service.model import Model
from training import cards, linear, pca, protocols, residuals
from training.data import Dataset, Images
from training.networks import Autoencoder
from training.recipes import Recipe
from training.reported import REPORTED, Reported
from training.seeds import named

Array = NDArray[np.uint8]
_LIVE = 1e-2
# A server runs the known image at every check of its health.
_KNOWN_SIDE = 64


@dataclass(frozen=True)
class Evaluation:
    """What goes into the manifest."""

    scores: tuple[Score, ...]
    error_percentiles: tuple[float, ...]
    noise_kurtosis_percentiles: tuple[float, ...] | None
    golden: Golden
    latents: str


def evaluate(recipe: Recipe, nets: list[Autoencoder], dataset: Dataset, folder: Path) -> Evaluation:
    """Scores the graphs in `folder`, and `nets`, the network of each seed, by the report's way.

    The first of `nets` is the one that was exported.
    """
    model = Model.open(folder, threads=2)
    clean = dataset.test.pixels.cpu().numpy()
    answer = model.reconstruct(clean)
    errors = quality.measure(answer, clean)
    latents = _liveness(model, clean) if nets[0].bottleneck else ""
    rows = [_row("model", "reconstruct", None, errors, latents)]
    rows += _pca_row(recipe, dataset, clean, model) if nets[0].bottleneck else []
    for spec in _specs(recipe):
        rows += _denoising_rows(recipe, dataset, clean, model, spec)
    rows += _report_rows(recipe, nets, dataset.test)
    percentiles = np.maximum.accumulate(np.percentile(errors.mse, np.arange(101)))
    known = cards.middle(clean[:1], _KNOWN_SIDE) if nets[0].any_size else clean[:1]
    golden = Golden(image=_png(known[0]), reconstruction=_png(model.reconstruct(known)[0]))
    return Evaluation(
        tuple(rows),
        tuple(map(float, percentiles)),
        residuals.kurtosis_percentiles(recipe.corruption, model, clean),
        golden,
        latents,
    )


def _row(
    subject: str, task: str, spec: str | None, scores: quality.Quality, note: str = ""
) -> Score:
    values = {k: round(v, 6) for k, v in scores.mean().items() if np.isfinite(v)}
    return Score.model_validate(
        {"subject": subject, "task": task, "corruption": spec, "values": values,
         "images": len(scores.mse), "note": note}
    )  # fmt: skip


def _specs(recipe: Recipe) -> list[str]:
    """The corruptions to be scored at: what it learnt to undo, then what the report tested."""
    reported = REPORTED.get(recipe.name, ())
    wanted = [recipe.corruption.served, *(r.corruption.served for r in reported)]
    return list(dict.fromkeys(spec for spec in wanted if spec))


def _denoising_rows(
    recipe: Recipe, dataset: Dataset, clean: Array, model: Model, spec: str
) -> Iterator[Score]:
    noisy = _corrupted(clean, spec, "test")
    yield _row("input", "denoise", spec, quality.measure(noisy, clean))
    if min(clean.shape[1:3]) >= linear.SIDE:
        filtered = _filter(recipe, dataset.name, spec, dataset)(noisy)
        note = "least-squares filter on 8x8 patches, fitted on training images"
        yield _row("linear", "denoise", spec, quality.measure(filtered, clean), note)
    yield _row("model", "denoise", spec, quality.measure(model.reconstruct(noisy), clean))


def _corrupted(images: Array, spec: str, purpose: str) -> Array:
    rng = np.random.default_rng(named(0, f"{purpose} {spec}"))
    return corruption.parse(spec)(images, rng)


_FILTERS: dict[tuple[str, str], linear.PatchFilter] = {}


def _filter(recipe: Recipe, name: str, spec: str, dataset: Dataset) -> linear.PatchFilter:
    if (name, spec) not in _FILTERS:
        train, _ = recipe.split(dataset)
        originals = train.pixels[: linear.IMAGES].cpu().numpy()
        _FILTERS[name, spec] = linear.fit(_corrupted(originals, spec, "filter"), originals)
    return _FILTERS[name, spec]


def _pca_row(recipe: Recipe, dataset: Dataset, clean: Array, model: Model) -> list[Score]:
    """PCA with as many latents, where that is fewer than the pixels and quick to fit."""
    count = model.encode(clean[:1]).latents.size
    if clean[0].size > 4096 or count >= clean[0].size:
        return []
    train, _ = recipe.split(dataset)
    components = pca.fit(train, count)
    flat = dataset.test.batch(slice(None)).flatten(1).cpu().double()
    answer = components.decode(components.encode(flat)).reshape(-1, *dataset.shape)
    levels = (answer.clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    note = f"{count} principal components of the training images"
    return [_row("pca", "reconstruct", None, quality.measure(levels, clean), note)]


def _report_rows(recipe: Recipe, nets: list[Autoencoder], test: Images) -> Iterator[Score]:
    for reported in REPORTED.get(recipe.name, (Reported({}),)):
        mean, spread = protocols.of_seeds(nets, test, reported)
        spec = reported.corruption.served
        # A spec cannot say it, but the report's noise may leave [0, 1].
        unclipped = ", noise not clipped" if not getattr(reported.corruption, "clip", True) else ""
        common = {"task": reported.task, "corruption": spec, "protocol": "report"}
        yield Score.model_validate(
            {**common, "subject": "model", "images": len(test), "seeds": len(nets),
             "values": mean, "spread": spread,
             "note": f"{_MEASURES[reported.measure]}{unclipped}"}
        )  # fmt: skip
        if reported.values:
            yield Score.model_validate(
                {**common, "subject": "report", "values": reported.values, "note": reported.note}
            )


_MEASURES = {
    "float": "floats in [0, 1], straight from the network",
    "pil": "uint8 by cutting off, SSIM with a flat 7x7 window",
    "elbo": "(sum of squared errors + KL) / pixels, one sample of the latents an image",
}


def _liveness(model: Model, clean: Array) -> str:
    """How many latents change from image to image at all."""
    latents = model.encode(clean[:2000]).latents.reshape(min(2000, len(clean)), -1)
    live = int((latents.std(0) > _LIVE).sum())
    return f"{live} of {latents.shape[1]} latents live"


def _png(image_HWC: Array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image_HWC.squeeze(-1) if image_HWC.shape[-1] == 1 else image_HWC).save(
        buffer, format="PNG"
    )
    return base64.b64encode(buffer.getvalue()).decode("ascii")
