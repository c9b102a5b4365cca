from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from service import manifest
from training import baselines, comparison, protocols
from training.corruption import Clean, Corruption, Gaussian, Occlusion
from training.data import CHECKOUT, Dataset
from training.loop import train
from training.networks import Autoencoder
from training.publish import publish
from training.recipes import Recipe
from training.reported import Reported

UNCLIPPED = Reported({}, "denoise", Gaussian(0.2, clip=False))


@pytest.mark.parametrize(
    ("corruption", "own"),
    [
        (Clean(), False),
        (Gaussian(0.2), False),
        (Gaussian(0.2, clip=False), True),
        (Occlusion(9, 9), False),
        (Occlusion(5, 13), True),
    ],
)
def test_a_reports_own_corruption_is_one_that_no_request_can_ask_for(
    corruption: Corruption, own: bool
) -> None:
    assert baselines.own(corruption) is own


def test_the_committed_baselines_are_of_every_corruption_that_a_report_has_of_its_own() -> None:
    path = CHECKOUT / "docs" / "reproduction" / baselines.FILE
    kept = {name: set(found) for name, found in json.loads(path.read_text("utf-8")).items()}
    wanted = {name: set(found) for name, found in baselines.wanted().items()}
    assert kept == wanted, "run `python -m training baselines`"


def test_doing_nothing_is_scored_on_the_draws_that_a_network_is_scored_on(grey: Dataset) -> None:
    noisy = []

    class Seen(nn.Module):
        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            noisy.append(x_BCHW)
            return x_BCHW

    protocols.score(Autoencoder(Seen(), nn.Identity()), grey.test, UNCLIPPED)
    error = (torch.cat(noisy) - grey.test.batch(slice(None))).square().mean()
    found = baselines.measure(UNCLIPPED, grey)["input"]
    assert found["mse"] == pytest.approx(float(error), abs=1e-6)
    assert found["mse"] == pytest.approx(0.04, rel=0.1), "clipped, it would be far less"


def test_the_linear_filter_takes_off_noise_that_leaves_the_range(grey: Dataset) -> None:
    found = baselines.measure(UNCLIPPED, grey)
    assert found["linear"]["mse"] < found["input"]["mse"] / 2


def test_a_line_has_the_baselines_of_the_corruption_that_it_names(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, name="mnist-unet-denoise", epochs=1)
    card = manifest.read(publish(recipe, {0: train(recipe, grey)}, grey, tmp_path))
    kept = {"grey": {repr(UNCLIPPED.corruption): baselines.measure(UNCLIPPED, grey)}}
    lines = [dict(zip(comparison.HEADER, row, strict=True))
             for row in comparison.rows(recipe, card, kept)]  # fmt: skip
    ours, asked = lines
    own, clipped = (
        {s.subject: f"{s.values['mse']:.4g}" for s in card.scores
         if s.corruption == "gaussian:0.2" and s.protocol == protocol}
        for protocol in ("report", "served")
    )  # fmt: skip
    assert ours["task"] == "denoise, noise 0.2 not clipped"
    assert (ours["ours"], ours["as served"]) == (own["model"], "")
    for subject, column in (("input", "doing nothing"), ("linear", "linear")):
        value = kept["grey"]["Gaussian(0.2, clip=False)"][subject]["mse"]
        assert ours[column] == f"{value:.4g}" != asked[column] == clipped[subject]
    assert asked["task"] == "denoise, noise 0.2 clipped"
    assert (asked["ours"], asked["as served"]) == ("", clipped["model"])
