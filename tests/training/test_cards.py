from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import manifest
from service.model import Model
from training import cards, sheets
from training.corruption import Gaussian
from training.data import Dataset
from training.loop import train
from training.networks import Mlp, Valid
from training.publish import publish
from training.recipes import Recipe

CARD_BYTES = 60_000


@pytest.fixture
def folder(recipe: Recipe, grey: Dataset, tmp_path: Path) -> Path:
    recipe = replace(recipe, net=Mlp((24, 4), variational=True), corruption=Gaussian(0.1))
    return publish(recipe, {0: train(recipe, grey)}, grey, tmp_path / "models")


def test_a_card_is_published_with_the_model_and_changes_nothing_else(
    folder: Path, grey: Dataset
) -> None:
    before = manifest.read(folder)
    assert cards.add(folder, grey.test) == folder
    after = manifest.read(folder)
    assert after.model_copy(update={"files": {}}) == before.model_copy(update={"files": {}})
    assert after.files == {**before.files, "card.png": manifest.digest(folder / "card.png")}
    assert not list(folder.parent.parent.glob(".*")), "nothing but the model is left"


def test_a_card_is_the_same_bytes_each_time(folder: Path, grey: Dataset) -> None:
    first = (cards.add(folder, grey.test) / "card.png").read_bytes()
    assert (cards.add(folder, grey.test) / "card.png").read_bytes() == first


def test_a_card_has_a_row_for_each_thing_the_model_does(folder: Path, grey: Dataset) -> None:
    card = manifest.read(folder)
    able = cards.draw(Model.open(folder), card, grey.test)
    less = card.model_copy(update={"abilities": ("reconstruct",)})
    assert able.height > cards.draw(Model.open(folder), less, grey.test).height


def test_the_card_of_a_colour_model_stays_small(
    recipe: Recipe, colour: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, net=Valid((8, 8)), corruption=Gaussian(0.2), epochs=1)
    folder = publish(recipe, {0: train(recipe, colour)}, colour, tmp_path)
    card = cards.add(folder, colour.test) / "card.png"
    with Image.open(card) as picture:
        assert picture.mode == "RGB"
    assert card.stat().st_size < CARD_BYTES


def test_one_image_of_each_class_is_shown_in_order(grey: Dataset) -> None:
    shown = cards.one_of_each(grey.test, 5)
    first = [int(np.flatnonzero(grey.test.labels.numpy() == k)[0]) for k in range(3)]
    second = [int(np.flatnonzero(grey.test.labels.numpy() == k)[1]) for k in range(2)]
    np.testing.assert_array_equal(shown, grey.test.pixels[[*first, *second]].numpy())


def test_images_are_enlarged_to_squares_and_nothing_between() -> None:
    image = np.array([[[0], [200]]], np.uint8)
    found = np.asarray(sheets.enlarged(image, 3).convert("L"))
    np.testing.assert_array_equal(found, np.repeat([[0] * 3 + [200] * 3], 3, 0))


def test_a_sheet_of_grey_images_has_one_channel() -> None:
    images = np.zeros((2, 8, 8, 1), np.uint8)
    page = sheets.sheet([sheets.Row("a", images)], title="t", lines=["one", "two"], cell=16)
    assert page.mode == "L"
