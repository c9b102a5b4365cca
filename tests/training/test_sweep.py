from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service import manifest, quality
from service.model import Model
from training import sweep
from training.data import Dataset
from training.loop import train
from training.networks import Valid
from training.publish import publish
from training.recipes import Recipe


@pytest.fixture
def folder(recipe: Recipe, grey: Dataset, tmp_path: Path) -> Path:
    return publish(recipe, {0: train(recipe, grey)}, grey, tmp_path / "models")


def test_without_noise_both_readings_are_the_models_own_score(folder: Path, grey: Dataset) -> None:
    first = sweep.noise(folder, grey)["levels"][0]
    clean = grey.test.pixels.numpy()
    expected = quality.measure(Model.open(folder).reconstruct(clean), clean).mean()
    for reading in ("clipped", "unclipped"):
        assert first[reading]["input"]["mse"] == 0
        assert first[reading]["model"]["mse"] == pytest.approx(expected["mse"], abs=2e-6)
        assert first[reading]["model"]["psnr"] == pytest.approx(expected["psnr"], abs=1e-3)


def test_clipping_takes_noise_away_and_the_unclipped_input_has_all_of_it(
    folder: Path, grey: Dataset
) -> None:
    for row in sweep.noise(folder, grey)["levels"][1:]:
        unclipped = row["unclipped"]["input"]["mse"]
        assert unclipped == pytest.approx(row["std"] ** 2, rel=0.1)
        assert row["clipped"]["input"]["mse"] < unclipped


def test_float_images_go_through_the_graphs_as_through_the_network(
    recipe: Recipe, colour: Dataset, tmp_path: Path
) -> None:
    run = train(replace(recipe, net=Valid((8, 8)), epochs=1), colour)
    folder = publish(replace(recipe, net=Valid((8, 8))), {0: run}, colour, tmp_path / "models")
    beyond = np.random.default_rng(0).uniform(-90, 350, (3, 16, 16, 3)).astype(np.float32)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    answer = sweep.floating(folder, scratch).reconstruct(beyond)
    with torch.no_grad():
        x_BCHW = torch.from_numpy(beyond).permute(0, 3, 1, 2) / 255
        expected = run.net(x_BCHW).images.permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(answer, expected, atol=1)


def test_a_result_says_which_graphs_it_is_of(folder: Path, grey: Dataset) -> None:
    assert sweep.noise(folder, grey)["graphs"] == sweep.graphs(manifest.read(folder))
