from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training import replicas, report
from training.cli import main
from training.data import Dataset
from training.errors import DeadRun
from training.loop import Trained, train
from training.networks import Pca
from training.recipes import RECIPES, Recipe
from training.reported import REPORTED
from training.schedules import Constant, Plateau

# Another network than the report's, for the same task.
OTHERS = ("unet", "deep", "mnist-colour-vae-16", "mnist-colour-conv-dropout-5")


def short(recipe: Recipe, seed: int, grey: Dataset) -> Trained:
    return train(replace(recipe, epochs=1, split=replace(recipe.split, validation=40)), grey,
                 seed=seed)  # fmt: skip


def test_every_network_of_a_report_has_its_settings_and_no_other() -> None:
    faithful = {
        recipe.name
        for recipe in RECIPES
        if recipe.name in REPORTED
        and not isinstance(recipe.net, Pca)
        and not any(other in recipe.name for other in OTHERS)
    }
    assert {name.partition("@")[0] for name in replicas.REPLICAS} == faithful


def test_a_replica_is_its_recipes_network_at_its_reports_rate() -> None:
    for recipe in RECIPES:
        if recipe.name in replicas.REPLICAS:
            replica = replicas.REPLICAS[recipe.name]
            assert (replica.net, replica.corruption) == (recipe.net, recipe.corruption)
            assert isinstance(replica.schedule, Constant | Plateau)
            assert not replica.bf16


def test_another_reading_is_the_first_with_other_noise_or_another_split() -> None:
    for name, replica in replicas.REPLICAS.items():
        stem, _, reading = name.partition("@")
        if reading:
            first = replicas.REPLICAS[stem]
            assert replica != first
            assert replace(replica, corruption=first.corruption, split=first.split) == first
            assert replicas.apart(name) == replicas.READINGS[reading]
            assert name in replicas.readings(stem)


def test_of_the_first_images_none_beyond_them_is_seen(grey: Dataset) -> None:
    marked = replace(grey, train=grey.train[torch.arange(200)])
    marked.train.pixels[:, 0, 0, 0] = torch.arange(200, dtype=torch.uint8)
    learn, check = replicas.OfTheFirst(20, seed=17, images=100)(marked)
    seen = [set(part.pixels[:, 0, 0, 0].tolist()) for part in (learn, check)]
    assert list(map(len, seen)) == [80, 20]
    assert set.union(*seen) == set(range(100))


def test_two_readings_stand_in_two_lines_beside_the_same_number(
    grey: Dataset, tmp_path: Path
) -> None:
    keys = ("mnist-conv-6-denoise", "mnist-conv-6-denoise@two")
    found = {key: replicas.replicate(key, grey, [0], lambda r, s: short(r, s, grey))
             for key in keys}  # fmt: skip
    (tmp_path / replicas.FILE).write_text(json.dumps(found))
    page = report.document(tmp_path, tmp_path, tmp_path)
    _, section = page.split("## R2")[1].split("### With the report's own settings")
    lines = [r for r in section.splitlines() if "| reconstruct | MSE | 0.02226 |" in r]
    assert [line.split(" | ")[0] for line in lines] == [
        "| `mnist-conv-6-denoise`",
        "| `mnist-conv-6-denoise`, noisy or occluded images, none clean",
    ]
    errors = [found[key]["rows"][0]["values"]["mse"] for key in keys]
    assert errors[0] != errors[1]
    assert [f" {error:.4g} " in line for error, line in zip(errors, lines, strict=True)]


def test_its_values_stand_beside_the_reports_and_the_recipes(grey: Dataset, tmp_path: Path) -> None:
    found = replicas.replicate("mnist-conv-6", grey, [0, 1], lambda r, s: short(r, s, grey))
    assert [set(row["spread"]) for row in found["rows"]] == [{"mse", "psnr", "snr", "ssim"}] * 3
    assert found["died"] == []
    (tmp_path / replicas.FILE).write_text(json.dumps({"mnist-conv-6": found}))
    page = report.document(tmp_path, tmp_path, tmp_path)
    (row,) = [r for r in page.splitlines() if r.startswith("| `mnist-conv-6` | reconstruct")
              and "±" in r]  # fmt: skip
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3] == "0.02035"
    assert cells[4].endswith("%")
    assert cells[5] == "2"
    assert cells[6].startswith(f"{found['rows'][0]['values']['mse']:.4g} ± ")


def test_one_that_dies_is_told_of_and_the_others_count(grey: Dataset, tmp_path: Path) -> None:
    def dies(recipe: Recipe, seed: int) -> Trained:
        if seed < 2:
            raise DeadRun("as good as a constant image")
        return short(recipe, seed, grey)

    some = replicas.replicate("mnist-conv-2", grey, [1, 2], dies)
    none = replicas.replicate("mnist-conv-4", grey, [0, 1], dies)
    assert len(some["died"]) == 1
    assert some["rows"][0]["values"]["mse"] > 0
    assert none["rows"] == [{"values": {}, "spread": {}}]
    (tmp_path / replicas.FILE).write_text(json.dumps({"mnist-conv-2": some, "mnist-conv-4": none}))
    page = report.document(tmp_path, tmp_path, tmp_path)
    assert "| 0 | as good as a constant image |" in page


def test_what_is_known_is_measured_again_only_with_other_settings_or_seeds() -> None:
    known = {"recipe": repr(replicas.REPLICAS["cifar10-conv"]), "seeds": [0]}
    assert replicas.current(known, "cifar10-conv", [0])
    assert not replicas.current(known, "cifar10-conv", [0, 1])
    assert not replicas.current(known, "cifar10-conv-denoise", [0])
    assert not replicas.current(None, "cifar10-conv", [0])


def test_a_recipe_without_settings_of_a_report_is_refused_with_those_that_have(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["replicate", "mnist-deep-8"]) == 1
    assert "cifar10-conv" in capsys.readouterr().out
