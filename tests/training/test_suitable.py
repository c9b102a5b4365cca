"""What a network cannot learn from is said before any training, with what would have worked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.test_networks import SHAPES
from training.cli import main
from training.data import Dataset, Images
from training.errors import DataError
from training.loop import train
from training.networks import Pca, Shape
from training.recipes import RECIPES, Recipe, named
from training.suitable import check


def noise(count: int, shape: Shape) -> Dataset:
    """A folder of pictures, of which a tenth is kept for validation."""
    C, H, W = shape
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, H, W, C), generator=draws).to(torch.uint8)
    images = Images(pixels, torch.zeros(count).long())
    return Dataset("folder:noise", images, images, (), {})


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_recipe_takes_images_like_those_it_was_made_for(recipe: Recipe) -> None:
    check(recipe, noise(300, SHAPES[recipe.data]))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(
    ("name", "channels", "smallest"),
    [("cifar10-conv-denoise", 3, 5), ("mnist-conv-6", 1, 9), ("mnist-vae-6", 3, 9)],
)
def test_the_smallest_size_that_is_named_is_the_smallest_that_trains(
    name: str, channels: int, smallest: int
) -> None:
    recipe = replace(named(name), epochs=1)
    for side in range(1, smallest):
        small = noise(30, Shape(channels, side, side))
        with pytest.raises(DataError, match=f"at least {smallest}x{smallest} .* {side}x{side}"):
            check(recipe, small)
        with pytest.raises(RuntimeError, match="Kernel size"):
            train(recipe, small)
    enough = noise(30, Shape(channels, smallest, smallest))
    check(recipe, enough)
    assert train(recipe, enough).epochs == 1


def test_a_short_side_is_enough_to_be_too_small() -> None:
    recipe = named("mnist-conv-6")
    for shape in (Shape(1, 8, 28), Shape(1, 28, 8)):
        with pytest.raises(DataError, match=rf"9x9 .* {shape.width}x{shape.height}"):
            check(recipe, noise(30, shape))
    check(recipe, noise(30, Shape(1, 9, 28)))


@pytest.mark.parametrize(
    "name", ["mnist-colour-conv", "mnist-colour-vae-16", "mnist-unet-denoise", "mnist-mlp-8"]
)
def test_a_network_that_needs_no_room_trains_on_single_pixels(name: str) -> None:
    recipe, pixels = replace(named(name), epochs=1), noise(30, Shape(3, 1, 1))
    check(recipe, pixels)
    trained = train(recipe, pixels)
    assert all(weight.isfinite().all() for weight in trained.net.parameters())


def test_batch_norm_on_one_pixel_needs_a_last_batch_of_two() -> None:
    recipe = replace(named("mnist-colour-conv-dropout"), epochs=1)
    assert recipe.batch == 64
    lonely = noise(72, Shape(3, 16, 16))  # 65 to learn from
    with pytest.raises(DataError, match="at least 17x17"):
        check(recipe, lonely)
    with pytest.raises(ValueError, match="more than 1 value"):
        train(recipe, lonely)
    check(recipe, noise(72, Shape(3, 17, 17)))
    check(recipe, noise(73, Shape(3, 16, 16)))


@pytest.mark.parametrize(("count", "side", "most"), [(300, 5, 75), (50, 20, 45)])
def test_principal_components_are_no_more_than_pixels_and_images(
    count: int, side: int, most: int
) -> None:
    recipe, images = named("mnist5-pca-256"), noise(count, Shape(3, side, side))
    with pytest.raises(DataError, match=f"keeps 256 components, .* take {most} or fewer"):
        check(recipe, images)
    check(replace(recipe, net=Pca(most)), images)
    with pytest.raises(DataError):
        check(replace(recipe, net=Pca(most + 1)), images)


def test_the_command_says_so_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, runs, models = (tmp_path / name for name in ("pictures", "runs", "models"))
    folder.mkdir()
    for index in range(20):
        Image.fromarray(np.full((4, 4, 3), index, np.uint8)).save(folder / f"{index}.png")
    arguments = ["--data", f"folder:{folder}", "--runs", str(runs), "--models", str(models)]
    # The first could be trained: nothing is, since the second cannot.
    assert main(["train", "mnist-mlp-8", "cifar10-conv-denoise", *arguments]) == 1
    said = "".join(capsys.readouterr().out.split())
    assert "cifar10-conv-denoiseneedsimagesofatleast5x5pixels" in said
    assert not runs.exists()
    assert not models.exists()
