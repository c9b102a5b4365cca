from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from service import manifest
from training import figures, report, tables
from training.data import CHECKOUT, Dataset
from training.differences import DIFFERENCES, SOURCES, sentence
from training.loop import train
from training.publish import publish
from training.recipes import RECIPES, Recipe
from training.reported import REPORTED

DOCS = CHECKOUT / "docs"


def lines_of(text: str, model: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| `{model}`")]


def test_the_committed_page_is_what_the_generator_makes_of_the_committed_manifests() -> None:
    written = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    made = report.document(CHECKOUT / "models", DOCS / "reproduction", DOCS)
    assert written == made, "run `python -m training report`"


def test_every_recipe_of_a_report_has_its_rows_trained_or_not(tmp_path: Path) -> None:
    page = report.document(tmp_path, tmp_path, tmp_path)
    for recipe in RECIPES:
        if recipe.source in SOURCES:
            assert lines_of(page, recipe.name)
    assert page.count("not trained yet") > len(RECIPES)


def test_every_number_of_a_report_has_a_sentence_for_ours() -> None:
    silent = [name for name, rows in REPORTED.items() if rows[0].values and not sentence(name)]
    assert not silent


def test_every_sentence_is_of_a_recipe() -> None:
    names = {recipe.name for recipe in RECIPES}
    for key in DIFFERENCES:
        stem = key.removesuffix("*")
        assert key in names or any(n.startswith(stem) and key.endswith("*") for n in names), key


def test_the_mean_and_the_spread_of_the_seeds_stand_beside_the_reports_number(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, name="mnist-conv-2", source="R2")
    runs = {seed: train(recipe, grey, seed=seed) for seed in (0, 1)}
    folder = publish(recipe, runs, grey, tmp_path / "models")
    kept = {recipe.name: {"train": [0.5, 0.0123], "validation": [0.0456, 0.0789]}}
    (tmp_path / figures.HISTORIES).write_text(json.dumps(kept))
    page = report.document(tmp_path / "models", tmp_path, tmp_path)
    row, costs = lines_of(page, "mnist-conv-2")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    (score,) = [s for s in manifest.read(folder).scores
                if s.protocol == "report" and s.subject == "model"]  # fmt: skip
    assert cells[3] == "0.03823"
    assert cells[4].startswith(f"{score.values['mse']:.4g} ± ")
    assert cells[5] == "2"
    assert cells[6].endswith("%")
    assert "![mnist-conv-2](models/mnist-conv-2/1/card.png)" in page
    assert costs.endswith("| 0.0123 | 0.0456 | 4 of 4 |")
    assert "`mnist-conv-2`: 4 epochs, 80 in the report. More than a tenth short" in page


@pytest.mark.parametrize(
    ("key", "ours", "theirs", "number", "change"),
    [
        ("mse", 0.0203, 0.0406, "0.0203", "-50 %"),
        ("snr", 11.234, 10.27, "11.23", "+0.96"),
        ("ssim", 0.95049, 0.889, "0.950", "+0.061"),
        ("accuracy", 0.9912, 0.9874, "99.12 %", "+0.38"),
    ],
)
def test_numbers_are_written_as_their_measure_is_read(
    key: str, ours: float, theirs: float, number: str, change: str
) -> None:
    assert tables.number(key, ours) == number
    assert tables.change(key, ours, theirs) == change
