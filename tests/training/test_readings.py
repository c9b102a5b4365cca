from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service import manifest
from training import (
    classify,
    data,
    figures,
    occlusions,
    pca,
    pixels,
    readings,
    report,
    standardised,
    sweep,
)
from training.classify import Classifier
from training.cli import main
from training.data import Dataset, Images, Split
from training.loop import train
from training.publish import publish
from training.recipes import Recipe

DOCS = data.CHECKOUT / "docs"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standardised, "CLASSIFIER", Classifier("A1", (8,), epochs=3))


def flat(images: Images) -> torch.Tensor:
    return images.batch(slice(None)).flatten(1).double()


def test_standardised_components_are_those_of_z_scores(grey: Dataset) -> None:
    x_NP = flat(grey.train).numpy()
    spread = np.where(x_NP.std(0) > 0, x_NP.std(0), 1)
    z_NP = (x_NP - x_NP.mean(0)) / spread
    _, _, directions = np.linalg.svd(z_NP, full_matrices=False)
    kept = z_NP @ directions[:3].T @ directions[:3]
    components = pca.fit(grey.train, 3, standardised=True)
    answer = components.decode(components.encode(flat(grey.train)))
    assert answer.numpy() == pytest.approx(kept * spread + x_NP.mean(0), abs=1e-6)


def test_standardising_costs_error_on_the_pixels_themselves(grey: Dataset) -> None:
    x_NP = flat(grey.train)
    centred, scored = (
        components.decode(components.encode(x_NP)).sub(x_NP).square().mean()
        for components in (pca.fit(grey.train, 3), pca.fit(grey.train, 3, standardised=True))
    )
    assert centred < scored


@pytest.mark.usefixtures("hasty")
def test_each_number_of_latents_has_its_error_and_its_accuracy_over_the_seeds(
    grey: Dataset,
) -> None:
    one, both = (standardised.measure(grey, Split(40), (2, 5), seeds) for seeds in ((0,), (0, 1)))
    assert [row["latents"] for row in both] == [2, 5]
    assert both[1]["values"]["mse"] < both[0]["values"]["mse"]
    assert 0.3 < both[1]["values"]["accuracy"] <= 1
    assert set(both[0]["spread"]) == {"accuracy"}
    assert one[0]["spread"] == {}


def test_a_larger_square_is_worse_for_everybody(
    recipe: Recipe, grey: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occlusions, "SIDES", (1, 9))
    folder = publish(recipe, {0: train(recipe, grey)}, grey, tmp_path)
    small, large = occlusions.measure({"tiny": folder}, grey.test)
    assert (small["side"], large["side"]) == (1, 9)
    assert small["mse"]["input"] < large["mse"]["input"]
    assert small["mse"]["tiny"] < large["mse"]["tiny"]


def test_the_committed_readings_are_of_the_published_models() -> None:
    kept = json.loads((DOCS / "reproduction" / readings.FILE).read_text("utf-8"))
    for name, graphs in kept["graphs"].items():
        card = manifest.read(data.CHECKOUT / "models" / name / "1")
        assert sweep.graphs(card) == graphs, "run `python -m training readings`"
    assert kept["classifier"] == repr(classify.CLASSIFIERS[0])


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    found = json.loads((DOCS / "reproduction" / readings.FILE).read_text("utf-8"))
    figures.save(tmp_path / readings.FILE, {"pixels": {}, **found})
    kept = (tmp_path / readings.FILE).read_text("utf-8")
    assert main(["readings", "--results", str(tmp_path), "--data", str(tmp_path)]) == 0
    assert (tmp_path / readings.FILE).read_text("utf-8") == kept


def test_the_classifiers_are_trained_on_the_pixels_too(
    grey: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "KINDS", (Classifier("A1", (8,), epochs=3),))
    found = pixels.measure(grey, Split(40), (0, 1))
    assert set(found["A1"]["values"]) == set(found["A1"]["spread"]) == {"validation", "accuracy"}
    found = {"A1": {"values": {"validation": 0.98, "accuracy": 0.97}, "spread": {}},
             "A2": {"values": {"validation": 0.99, "accuracy": 0.96}, "spread": {}}}  # fmt: skip
    (line,) = readings.on_pixels({"pixels": found})
    assert line[1:6] == ["98.81 %", "97.59 %", "pixels, A2", "99.00 %", "96.00 %"]
    assert list(readings.on_pixels({})) == []


def test_the_page_says_which_side_gives_the_reports_number(tmp_path: Path) -> None:
    rows = [{"side": side, "mse": {"input": 0.01, "mnist-conv-6": error,
             "mnist-conv-6-denoise": error / 2, "mnist-unet-occlusion": 0.001}}
            for side, error in ((5, 0.02), (12, 0.054), (13, 0.07))]  # fmt: skip
    scored = [{"latents": 32, "values": {"mse": 0.0213, "accuracy": 0.9832}, "spread": {}}]
    found = {"standardised": scored, "occlusions": rows}
    (tmp_path / readings.FILE).write_text(json.dumps(found))
    page = report.document(tmp_path, tmp_path, tmp_path)
    assert "0.06036 is nearest to what `mnist-conv-6` scores at a side of 12, 0.054" in page
    assert "0.0269 is nearest to what `mnist-conv-6-denoise` scores at a side of 12" in page
    assert "| 5 | 0.01 | 0.02 | 0.01 | 0.001 |" in page
    assert "| 32 | not trained yet | 0.0213 | 97.97 % | not trained yet | 98.32 % |" in page


def test_centred_components_stand_beside_standardised_ones(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, name="mnist5-pca-32", source="R1", epochs=1)
    folder = publish(recipe, {0: train(recipe, grey)}, grey, tmp_path)
    (row,) = (s for s in manifest.read(folder).scores if s.protocol == "report")
    scored = [{"latents": 32, "values": {"mse": 0.0213, "accuracy": 0.9832}, "spread": {}}]
    (tmp_path / readings.FILE).write_text(json.dumps({"standardised": scored, "occlusions": [
        {"side": 5, "mse": {"input": 0.1, "mnist-conv-6": 0.1, "mnist-conv-6-denoise": 0.1}}
    ]}))  # fmt: skip
    page = report.document(tmp_path, tmp_path, tmp_path)
    assert f"| 32 | {row.values['mse']:.4g} | 0.0213 |" in page
