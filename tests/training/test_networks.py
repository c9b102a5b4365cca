from __future__ import annotations

import pytest
import torch

from training.initialise import build
from training.networks import Conv, Mlp, Shape, Valid
from training.recipes import RECIPES, Recipe

GREY, COLOUR = Shape(1, 28, 28), Shape(3, 32, 32)
SHAPES = {
    "mnist": GREY, "mnist5": GREY, "mnist-colour": Shape(3, 28, 28), "cifar10": COLOUR,
    "photos": Shape(1, 45, 36), "folder:PATH": COLOUR,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "shape", "parameters"),
    [
        (Mlp((392, 8)), GREY, 622_504),
        (Mlp((256,), activation="sigmoid", latent="sigmoid"), GREY, 402_448),
        (Conv((8, 16, 32), latents=6, paddings=(1, 1, 0)), GREY, 49_799),
        (Conv((128, 64, 32, 16), overshoot=True), Shape(3, 28, 28), 200_915),
        (Valid((8, 8)), COLOUR, 1_611),
    ],
    ids=["R4", "R1", "R2", "R0", "R3"],
)
def test_the_reports_networks_have_the_reports_parameter_counts(
    family: Mlp | Conv | Valid, shape: Shape, parameters: int
) -> None:
    assert build(family, shape, "torch", 0).parameter_count() == parameters


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_recipe_builds_and_gives_images_in_the_unit_range(recipe: Recipe) -> None:
    shape = SHAPES[recipe.data]
    net = build(recipe.net, shape, recipe.init, 0).eval()
    x_BCHW = torch.rand(2, *shape)
    output = net(x_BCHW)
    assert output.images.shape == x_BCHW.shape
    assert (output.mean is not None) == net.variational


def test_recipes_have_names_of_their_own() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_a_recipe_prints_the_line_that_makes_it_again(recipe: Recipe) -> None:
    from training import corruption, crops, data, networks, recipes, schedules

    names = {k: v for m in (corruption, crops, data, networks, recipes, schedules)
             for k, v in vars(m).items()}  # fmt: skip
    assert eval(repr(recipe), names) == recipe


def test_a_variational_network_samples_only_when_it_is_given_a_generator() -> None:
    net = build(Mlp((8, 2), variational=True), Shape(1, 6, 6), "torch", 0)
    x_BCHW = torch.rand(3, 1, 6, 6)
    assert torch.equal(net(x_BCHW).images, net(x_BCHW).images)
    sampled = net(x_BCHW, torch.Generator().manual_seed(0)).images
    assert not torch.equal(sampled, net(x_BCHW).images)
