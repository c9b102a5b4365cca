# ruff: noqa: E501 (a line of the table is a line)
"""The figures of the five reports: which there are, and the charts that compare models.

A figure of one model is docs/reproduction/MODEL-KIND.png (or .html), a chart of several
REPORT-losses.png, DATASET-latents.png or DATASET-noise.png.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from service.manifest import Manifest
from training import charts, drawings, recipes
from training.charts import Curve
from training.data import CHECKOUT
from training.drawings import Subject
from training.reported import REPORTED

# What `sweep` and `figures` leave for the charts and the report, in the folder of the results.
NOISE, HISTORIES = "noise.json", "histories.json"
RESULTS = CHECKOUT / "docs" / "reproduction"

Draw = Callable[[Subject, Path], None]


@dataclass(frozen=True)
class Kind:
    """A kind of figure: how it is drawn, and what is to be seen in it."""

    draw: Draw
    caption: str
    suffix: str = "png"


KINDS = {
    "corrupted": Kind(
        drawings.noisy_sheet, "Clean and corrupted test images, and what becomes of them"
    ),
    "parts": Kind(
        drawings.learnt_and_not, "Training, validation and test images, and what becomes of them"
    ),
    "epochs": Kind(drawings.over_epochs, "Outputs over the epochs"),
    "interpolation": Kind(
        drawings.transitions, "From one test image to another through the latents"
    ),
    "random": Kind(
        drawings.random_samples, "Latents at random whole numbers, as R2 drew them, decoded"
    ),
    "prior": Kind(drawings.prior_samples, "Draws from the variational prior, decoded"),
    "mixture": Kind(
        drawings.mixture_samples, "Draws from the Gaussian mixture fitted to the latents"
    ),
    "weights": Kind(drawings.weights, "First-layer weights, one tile a unit, grey being zero"),
    "tsne": Kind(
        drawings.neighbours,
        f"t-SNE of the latents of {drawings.POINTS:,} test images, noisy if that is what it learnt",
    ),
    "tsne-3d": Kind(
        drawings.neighbours_in_space, "The same in three dimensions, to be turned", "html"
    ),
    "confusion": Kind(drawings.confusion, "Confusion matrix of the classifier on the latents"),
}

_R1 = (
    *(f"mnist5-{kind}-{k}" for kind in ("pca", "mlp", "mlp-400") for k in (32, 64, 128, 256)),
    *(f"mnist5-mlp-256-denoise-{n}" for n in (20, 40)),
)
# fmt: off
FIGURES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("R0", ("mnist-colour-conv", "mnist-colour-conv-dropout", "mnist-colour-vae-16"), ("corrupted", "epochs", "interpolation", "tsne")),
    ("R0", ("mnist-colour-conv", "mnist-colour-conv-dropout", "mnist-colour-vae-16"), ("tsne-3d",)),
    ("R0", ("mnist-colour-vae-16",), ("prior", "mixture")),
    ("R0", ("mnist-colour-unet",), ("corrupted",)),
    ("R1", ("mnist5-mlp-256", "mnist5-mlp-256-denoise-20", "mnist5-mlp-256-denoise-40"), ("weights",)),
    ("R1", ("mnist5-mlp-256-denoise-20", "mnist5-mlp-256-denoise-40", "mnist5-unet-denoise"), ("corrupted",)),
    ("R1", _R1, ("parts", "confusion")),
    ("R1", ("mnist5-deep-64",), ("confusion",)),
    ("R2", ("mnist-conv-6", "mnist-conv-6-denoise"), ("corrupted", "epochs", "interpolation", "random", "mixture", "tsne")),
    ("R2", ("mnist-vae-6",), ("epochs", "interpolation", "prior", "mixture", "tsne", "tsne-3d")),
    ("R2", ("mnist-deep-6",), ("interpolation", "mixture")),
    ("R2", ("mnist-deep-vae-6",), ("interpolation", "prior", "mixture")),
    ("R2", ("mnist-unet-denoise", "mnist-unet-occlusion"), ("corrupted",)),
    ("R3", ("cifar10-conv", "cifar10-conv-denoise", "cifar10-conv-denoise-heavy", "cifar10-unet-denoise"), ("epochs",)),
    ("R3", ("cifar10-conv",), ("parts",)),
    ("R3", ("cifar10-conv-denoise", "cifar10-conv-denoise-heavy", "cifar10-unet-denoise"), ("corrupted",)),
    ("R4", ("mnist-mlp-8", "mnist-deep-8"), ("corrupted", "interpolation", "mixture")),
    ("R4", ("mnist-deep-8",), ("epochs",)),
)
# fmt: on


@dataclass(frozen=True)
class Figure:
    """One figure: of which report, of which model, and where it lies."""

    report: str
    model: str
    kind: str

    @property
    def file(self) -> str:
        return f"{self.model}-{self.kind}.{KINDS[self.kind].suffix}"


def figures() -> Iterator[Figure]:
    """All figures of single models, in the order of the reports."""
    for report, models, kinds in FIGURES:
        for kind in kinds:
            for model in models:
                recipes.named(model)
                yield Figure(report, model, kind)


def draw(figure: Figure, subject: Subject, results: Path) -> Path:
    """Draws one figure and gives its place.

    Raises:
        TrainingError: the model, or its run, lacks what the figure shows.
    """
    path = results / figure.file
    KINDS[figure.kind].draw(subject, path)
    return path


def history(run: Path) -> dict[str, list[float]] | None:
    """The training and validation losses of each epoch, from the checkpoint of a run."""
    checkpoint = run / "checkpoint.pt"
    if not checkpoint.exists():
        return None
    entries = torch.load(checkpoint, map_location="cpu", weights_only=True)["history"]
    losses = {key: [float(f"{e[key]:.5g}") for e in entries] for key in ("train", "loss")}
    return {"train": losses["train"], "validation": losses["loss"]}


def losses(report: str, histories: Mapping[str, Mapping[str, list[float]]], results: Path) -> None:
    """The losses of all networks of a report that was trained, epoch by epoch."""
    lines = {}
    for recipe in recipes.RECIPES:
        if recipe.source == report and len(histories.get(recipe.name, {}).get("train", ())) > 1:
            kept = histories[recipe.name]
            epochs = range(1, 1 + len(kept["train"]))
            lines[recipe.name] = [
                Curve("training", epochs, kept["train"], "--"),
                Curve("validation", epochs, kept["validation"]),
            ]
    if lines:
        charts.panels(results / f"{report}-losses.png", lines, "epoch", "loss")


def series(name: str) -> tuple[str, int] | None:
    """`mnist-conv-6` is the network mnist-conv with 6 latents; a name without a number is none."""
    stem, _, size = name.rpartition("-")
    return (stem, int(size)) if size.isdigit() and not stem.endswith("denoise") else None


def latents(dataset: str, published: Iterable[Manifest], results: Path) -> None:
    """The test error against the number of latents, beside PCA and the report."""
    ours: dict[str, list[tuple[int, float]]] = {}
    for card in published:
        place = series(card.name)
        if place is None or card.dataset != dataset or card.variational or card.family == "pca":
            continue
        stem, size = place
        for score in card.scores:
            if (score.task, score.protocol) != ("reconstruct", "served"):
                continue
            label = stem if score.subject == "model" else "principal components"
            if (size, score.values["mse"]) not in ours.setdefault(label, []):
                ours[label].append((size, score.values["mse"]))
        printed = REPORTED.get(card.name, ())
        if printed and "mse" in printed[0].values and "better" not in card.summary:
            ours.setdefault(f"{stem}, report", []).append((size, printed[0].values["mse"]))
    lines = []
    for label, points in sorted(ours.items()):
        if len(points) > 2:
            sizes, errors = ([point[axis] for point in sorted(points)] for axis in (0, 1))
            lines.append(Curve(label, sizes, errors, "--" if label.endswith("report") else "-"))
    if lines:
        charts.curves(results / f"{dataset}-latents.png", lines, "latents", "test MSE")


def noise(dataset: str, measured: Mapping[str, Any], results: Path) -> None:
    """The test error against the strength of the noise, as R2 has it: not clipped."""
    lines = []
    for name, found in sorted(measured.items()):
        if found["dataset"] != dataset:
            continue
        levels = [row["std"] for row in found["levels"]]
        errors = [row["unclipped"]["model"]["mse"] for row in found["levels"]]
        lines.append(Curve(name, levels, errors))
    if lines:
        charts.curves(
            results / f"{dataset}-noise.png", lines, "noise, standard deviation", "test MSE"
        )


def stored(path: Path) -> dict[str, Any]:
    """The JSON that an earlier command has left, or nothing."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def save(path: Path, content: object) -> None:
    """Writes JSON that a line-by-line diff can follow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
