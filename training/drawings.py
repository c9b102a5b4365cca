"""Every kind of figure of a single model, drawn by running its exported graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from service import manifest
from service.manifest import Manifest
from service.model import Model
from training import cards, charts, maps, recipes, sheets, snapshots, space
from training.data import Dataset
from training.errors import TrainingError
from training.reported import REPORTED
from training.seeds import named
from training.sheets import Row

Array = NDArray[np.uint8]

# R2 shows 2,000 of its 10,000 test latents; R0 all of them, which take sklearn many minutes.
POINTS = 2000
_STEPS = 10
_SIDE = 10


@dataclass(frozen=True)
class Subject:
    """A published model, open, with its data set and the folder of its run."""

    card: Manifest
    folder: Path
    model: Model
    dataset: Dataset
    runs: Path

    @property
    def run(self) -> Path:
        return self.runs / f"{self.card.name}-{self.card.provenance.seed}"

    def latents(self, count: int) -> NDArray[np.float32]:
        """Those of the first test images, with its noise on them if it learnt to undo some."""
        images = self.dataset.test.pixels[:count].numpy()
        if self.card.corruption:
            images = cards.noisy(images, self.card.corruption)
        return self.model.encode(images).latents.reshape(len(images), -1)


def open_subject(name: str, models: Path, runs: Path, dataset: Dataset) -> Subject:
    """Opens the newest version of a published model.

    Raises:
        ManifestError: it is not as it was published.
    """
    folder = max((models / name).glob("[0-9]*"), key=lambda path: int(path.name))
    return Subject(manifest.read(folder), folder, Model.open(folder, threads=2), dataset, runs)


def noisy_sheet(subject: Subject, path: Path) -> None:
    """Originals, and each corruption that the report tested with, before and after."""
    clean = cards.one_of_each(subject.dataset.test, _STEPS)
    rows = [Row("original", clean), Row("output", subject.model.reconstruct(clean))]
    for spec in tested(subject.card.name):
        shown = cards.noisy(clean, spec)
        rows += [Row(cards.in_words(spec), shown), Row("output", subject.model.reconstruct(shown))]
    sheets.save(sheets.sheet(rows, title=subject.card.name), path)


def tested(name: str) -> list[str]:
    """The corruptions that the report tested its model with."""
    specs = (reported.corruption.served for reported in REPORTED.get(name, ()))
    return list(dict.fromkeys(spec for spec in specs if spec))


def learnt_and_not(subject: Subject, path: Path) -> None:
    """Training, validation and test images and what becomes of them, its noise on them if any."""
    learn, check = recipes.named(subject.card.name).split(subject.dataset)
    rows = []
    for part, images in (
        ("training", learn),
        ("validation", check),
        ("test", subject.dataset.test),
    ):
        clean = cards.one_of_each(images, _STEPS)
        rows.append(Row(part, clean))
        shown = clean
        if subject.card.corruption:
            shown = cards.noisy(clean, subject.card.corruption)
            rows.append(Row(cards.in_words(subject.card.corruption), shown))
        rows.append(Row("output", subject.model.reconstruct(shown)))
    sheets.save(sheets.sheet(rows, title=subject.card.name), path)


def over_epochs(subject: Subject, path: Path) -> None:
    """Outputs for the same images after some of the epochs.

    Raises:
        TrainingError: the run kept none.
    """
    kept = snapshots.read(subject.run)
    if not kept:
        raise TrainingError(f"{subject.run} kept no outputs of its epochs: train it again")
    wanted = {1, 2, 3, 5, 10, 20, 40, max(kept)}
    clean = cards.one_of_each(subject.dataset.test, snapshots.COUNT)
    rows = [Row(f"epoch {epoch}", kept[epoch]) for epoch in sorted(wanted & kept.keys())]
    sheets.save(sheets.sheet([Row("original", clean), *rows], title=subject.card.name), path)


def transitions(subject: Subject, path: Path) -> None:
    """Straight lines between the latents of pairs of test images, the ends included."""
    images = cards.one_of_each(subject.dataset.test, _STEPS)
    latents = subject.model.encode(images).latents
    rows = []
    for first, last in ((0, len(images) - 1), (1, 7), (2, 3), (4, 6), (5, 8)):
        if max(first, last) < len(images):
            line = np.linspace(latents[first], latents[last], _STEPS, dtype=np.float32)
            rows.append(Row("", subject.model.decode(line)))
    sheets.save(sheets.sheet(rows, title=subject.card.name, side="none"), path)


def mixture_samples(subject: Subject, path: Path) -> None:
    """Decoded draws from the mixture that was fitted to the latents.

    Raises:
        TrainingError: the model has none.
    """
    if subject.model.sampler is None:
        raise TrainingError(f"{subject.card.name} has no sampler: run `evaluate` first")
    _samples(subject, path, cards.samples(subject.model, subject.card, _SIDE**2, "mixture"))


def prior_samples(subject: Subject, path: Path) -> None:
    """Decoded draws from the variational prior."""
    _samples(subject, path, cards.samples(subject.model, subject.card, _SIDE**2, "standard"))


def random_samples(subject: Subject, path: Path) -> None:
    """R2's way with a plain autoencoder: whole numbers from -5 to 4, the first from -2 to 9."""
    rng = np.random.default_rng(named(0, "random latents"))
    shape = (_SIDE**2, *(n or 1 for n in subject.card.latent_shape))
    latents = rng.integers(-5, 5, shape).astype(np.float32)
    latents[:, 0] = rng.integers(-2, 10, latents[:, 0].shape)
    _samples(subject, path, subject.model.decode(latents))


def _samples(subject: Subject, path: Path, images: Array) -> None:
    page = sheets.sheet(sheets.grid(images, _SIDE), title=subject.card.name, side="none", cell=40)
    sheets.save(page, path)


def weights(subject: Subject, path: Path) -> None:
    """What each unit of the first layer looks at: its weights as a picture, each on its own scale.

    Raises:
        TrainingError: the first layer is not dense.
    """
    graph = onnx.load(subject.folder / "encoder.onnx").graph
    first = next((node for node in graph.node if node.op_type in ("Gemm", "MatMul", "Conv")), None)
    if first is None or first.op_type == "Conv":
        raise TrainingError(f"{subject.card.name}: the first layer of the encoder is not dense")
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # Large weights lie there as float16, and a cast goes by the name that the layer asks for.
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]].astype(np.float32)
    transposed = first.op_type == "Gemm" and any(
        attribute.name == "transB" and attribute.i for attribute in first.attribute
    )
    weights_UP = tensors[first.input[1]] if transposed else tensors[first.input[1]].T
    shape = subject.card.image
    tiles = weights_UP.reshape(-1, shape.height or 1, shape.width or 1, shape.channels)
    largest = np.abs(tiles).max((1, 2, 3), keepdims=True)
    levels = np.rint(127.5 + 127.5 * tiles / np.maximum(largest, 1e-12)).astype(np.uint8)
    columns = int(np.ceil(np.sqrt(len(levels))))
    page = sheets.sheet(
        sheets.grid(levels, columns), title=subject.card.name, side="none", cell=shape.height or 1
    )
    sheets.save(page, path)


def neighbours(subject: Subject, path: Path) -> None:
    """t-SNE of the latents of test images in the plane."""
    places = maps.tsne(subject.latents(POINTS), 2)
    labels = subject.dataset.test.labels[:POINTS].numpy()
    charts.scatter(path, places, labels, subject.dataset.classes)


def neighbours_in_space(subject: Subject, path: Path) -> None:
    """t-SNE of the latents of test images in space, as a page that turns."""
    places = maps.tsne(subject.latents(POINTS), 3)
    labels = subject.dataset.test.labels[:POINTS].numpy()
    title = f"{subject.card.name}: t-SNE of {len(places):,} latents"
    space.write(path, places, labels, subject.dataset.classes, title)


def confusion(subject: Subject, path: Path) -> None:
    """What the classifier makes of the test images of each class.

    Raises:
        TrainingError: the model has no classifier.
    """
    if subject.model.classifier is None:
        raise TrainingError(f"{subject.card.name} has no classifier: run `classify` first")
    test, classes = subject.dataset.test, subject.dataset.classes
    told = subject.model.classify(test.pixels.numpy()).argmax(1)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (test.labels.numpy(), told), 1)
    share = np.trace(counts) / counts.sum()
    charts.confusion(path, counts, classes, f"{subject.card.name}: {share:.2%}")
