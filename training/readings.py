"""The second readings of the reports that need no autoencoder trained: the command `readings`.

Those that do are in training/replicas.py. What is measured lies in docs/reproduction/readings.json,
from which the sections of docs/reproduction.md are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service import manifest
from service.manifest import Manifest, Score
from training import comparison, data, occlusions, pixels, recipes, standardised, sweep
from training.corruption import Occlusion
from training.reported import ACCURACIES, PIXELS, REPORTED
from training.tables import number, of_seeds, table

FILE = "readings.json"
_SIZES = (32, 64, 128, 256)
_SEEDS = (0, 1, 2)
_OCCLUDED = ("mnist-conv-6", "mnist-conv-6-denoise", "mnist-unet-occlusion")


def measure_all(models: Path, where: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """All of them, on the whole test sets in the folder `where`; what is `known` stays so."""
    folders = {name: models / name / "1" for name in _OCCLUDED}
    graphs = {name: sweep.graphs(manifest.read(folder)) for name, folder in folders.items()}
    classifier = repr(standardised.CLASSIFIER)
    found = dict(known)
    if found.get("classifier") != classifier:
        found = {key: kept for key, kept in found.items() if key not in ("standardised", "pixels")}
    if not {"standardised", "pixels"} <= found.keys():
        dataset, split = data.load("mnist5", where), recipes.named("mnist5-pca-32").split
        if "standardised" not in found:
            found["standardised"] = standardised.measure(dataset, split, _SIZES, _SEEDS)
        if "pixels" not in found:
            found["pixels"] = pixels.measure(dataset, split, _SEEDS)
    if found.get("graphs") != graphs:
        found["occlusions"] = occlusions.measure(folders, data.load("mnist", where).test)
    return {**found, "classifier": classifier, "graphs": graphs}


def page(report: str, cards: Mapping[str, Manifest], found: Mapping[str, Any]) -> Iterator[str]:
    """The section of a report that has a second reading here, once it was measured."""
    if found and report == "R1":
        yield "### Principal components of standardised pixels\n"
        yield from _standardised(cards, found["standardised"])
    if found and report == "R2":
        yield "### Occlusions of one side\n"
        yield from _occlusions(found["occlusions"])


def on_pixels(found: Mapping[str, Any]) -> Iterator[list[str]]:
    """The last line of R1's last table, once our classifiers were trained on the pixels."""
    rows = found.get("pixels")
    if rows:
        kind = max(rows, key=lambda kind: rows[kind]["values"]["validation"])
        values, spread = rows[kind]["values"], rows[kind]["spread"]
        yield [
            "none: the pixels (AdaGrad, an earlier assignment)",
            *(number("accuracy", share) for share in PIXELS), f"pixels, {kind}",
            of_seeds("validation", values, spread), of_seeds("accuracy", values, spread),
            "", "", "",
        ]  # fmt: skip


def _standardised(cards: Mapping[str, Manifest], rows: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        "The introduction has every pixel brought to a mean of 0 and a deviation of 1 before PCA. "
        "So it weighs a pixel at the edge as much as one in the middle; the error is that on "
        "pixels in [0, 1]. What is published here is centred only. A1 learns as in the table "
        f"above, with {len(_SEEDS)} seeds.\n"
    )
    lines = []
    for row in rows:
        name = f"mnist5-pca-{row['latents']}"
        card = cards.get(name)
        _, printed = ACCURACIES[name]["A1"]
        lines.append([
            str(row["latents"]),
            _of_card(_reconstruct(card), "mse"), number("mse", row["values"]["mse"]),
            number("accuracy", printed), _of_card(_first_classifier(card), "accuracy"),
            of_seeds("accuracy", row["values"], row["spread"]),
        ])  # fmt: skip
    header = (
        "latents", "MSE, centred", "MSE, standardised", "A1, report", "A1, centred",
        "A1, standardised",
    )  # fmt: skip
    yield table(header, lines)


def _reconstruct(card: Manifest | None) -> Score | None:
    return comparison.score(card, REPORTED["mnist5-pca-32"][0], "model", "report")


def _first_classifier(card: Manifest | None) -> Score | None:
    return comparison.classified(card, "report").get("A1")


def _of_card(found: Score | None, key: str) -> str:
    return comparison.MISSING if found is None else of_seeds(key, found.values, found.spread)


def _occlusions(rows: list[dict[str, Any]]) -> Iterator[str]:
    nearest = []
    for name in _OCCLUDED[:2]:
        (printed,) = (
            reported.values["mse"]
            for reported in REPORTED[name]
            if isinstance(reported.corruption, Occlusion)
        )
        row = min(rows, key=lambda row: abs(row["mse"][name] - printed))
        nearest.append(
            f"{number('mse', printed)} is nearest to what `{name}` scores at a side of "
            f"{row['side']}, {number('mse', row['mse'][name])}"
        )
    yield (
        "The author's code draws one side from 5 to 13 for a whole test set, another for each of "
        f"its two cells, and tells neither. Of the report's numbers {', and '.join(nearest)}. "
        "MSE of the published models on the test images, all of them with a square of one side:\n"
    )
    shown = [[str(row["side"]), *(number("mse", row["mse"][name]) for name in row["mse"])]
             for row in rows]  # fmt: skip
    names = [f"`{name}`" for name in rows[0]["mse"] if name != "input"]
    yield table(("side", "doing nothing", *names), shown)
