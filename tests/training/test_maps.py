from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service import manifest
from service.latent_map import FILE, LatentMap
from service.model import Model
from training import maps
from training.data import Dataset
from training.loop import train
from training.networks import Mlp, Valid
from training.publish import publish
from training.recipes import Recipe


@pytest.fixture(scope="module")
def folder(recipe: Recipe, grey: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(recipe, {0: train(recipe, grey)}, grey, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def drawn(folder: Path) -> LatentMap:
    return LatentMap.model_validate_json((folder / FILE).read_bytes())


def test_a_model_is_published_with_a_map_of_its_test_latents(
    folder: Path, drawn: LatentMap, grey: Dataset
) -> None:
    assert FILE in manifest.read(folder).files
    labels = np.frombuffer(base64.b64decode(drawn.labels), np.uint8)
    assert sorted(labels) == sorted(grey.test.labels.tolist()), "all, there being few"
    latents = drawn.latents.numbers()
    found = Model.open(folder).encode(grey.test.pixels.numpy()).latents
    for label in range(3):
        ours, all_of = latents[labels == label], found[grey.test.labels.numpy() == label]
        np.testing.assert_allclose(ours.mean(0), all_of.mean(0), atol=1e-3)


def test_few_of_many_points_have_as_many_of_each_class(
    folder: Path, grey: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "_MOST_POINTS", 18)
    made = maps.draw(Model.open(folder), manifest.read(folder), grey)
    assert made is not None
    labels = np.frombuffer(base64.b64decode(made.labels), np.uint8)
    np.testing.assert_array_equal(np.bincount(labels), [6, 6, 6])


def test_components_are_those_of_the_latents(drawn: LatentMap) -> None:
    assert drawn.components is not None
    latents = drawn.latents.numbers().astype(np.float64)
    mean, axes = np.array(drawn.components.mean), np.array(drawn.components.axes)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-5)
    variance = ((latents - mean) @ axes.T).var(0) / latents.var(0).sum()
    np.testing.assert_allclose(variance, drawn.components.explained, atol=1e-3)
    values = np.sort(np.linalg.eigvalsh(np.cov(latents.T)))[::-1]
    np.testing.assert_allclose(variance, (values / values.sum())[:3], atol=1e-3)


def test_neighbours_among_the_latents_stay_neighbours_on_the_map(drawn: LatentMap) -> None:
    latents = drawn.latents.numbers()
    for axes, table in drawn.tsne.items():
        places = table.numbers()
        assert places.shape == (len(latents), int(axes))
        ours, theirs = (
            np.linalg.norm(points[:, None] - points[None], axis=2) for points in (places, latents)
        )
        rank = np.corrcoef(ours.ravel().argsort().argsort(), theirs.ravel().argsort().argsort())
        assert rank[0, 1] > 0.5


def test_two_latents_are_a_plane_already(recipe: Recipe, grey: Dataset, tmp_path: Path) -> None:
    recipe = replace(recipe, net=Mlp((24, 2), latent="linear"), epochs=1)
    made = LatentMap.model_validate_json(
        (publish(recipe, {0: train(recipe, grey)}, grey, tmp_path) / FILE).read_bytes()
    )
    assert (made.components, made.tsne, made.latents.bits) == (None, {}, 16)


def test_there_is_no_map_without_a_bottleneck_or_classes(
    folder: Path, recipe: Recipe, grey: Dataset, colour: Dataset, tmp_path: Path
) -> None:
    model, card = Model.open(folder), manifest.read(folder)
    assert maps.draw(model, card, replace(grey, classes=())) is None
    wide = replace(recipe, net=Valid((8, 8)), epochs=1)
    published = publish(wide, {0: train(wide, colour)}, colour, tmp_path)
    assert not (published / FILE).exists()
    assert maps.add(published, colour) == published


def test_a_model_whose_latents_are_all_dead_has_no_map(folder: Path, grey: Dataset) -> None:
    black = replace(grey.test, pixels=grey.test.pixels * 0)
    assert maps.draw(Model.open(folder), manifest.read(folder), replace(grey, test=black)) is None


def test_a_map_is_added_to_a_model_that_was_published_without(
    folder: Path, drawn: LatentMap, grey: Dataset, tmp_path: Path
) -> None:
    card, models = manifest.read(folder), tmp_path / "models"
    staging = models / ".staging"
    staging.mkdir(parents=True)
    for file in card.files.keys() - {FILE}:
        (staging / file).write_bytes((folder / file).read_bytes())
    bare = manifest.write(staging, card, models)
    added = maps.add(bare, grey)
    assert FILE in manifest.read(added).files
    assert LatentMap.model_validate_json((added / FILE).read_bytes()).labels == drawn.labels
    before = (added / FILE).stat().st_mtime_ns
    assert (maps.add(added, grey) / FILE).stat().st_mtime_ns == before, "done once"
