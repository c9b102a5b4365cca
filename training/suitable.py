"""Whether a recipe can learn from the images of a data set, asked before any training."""

from __future__ import annotations

import warnings

import torch

from training.data import Dataset
from training.errors import DataError
from training.networks import Family, Pca, Shape
from training.recipes import Recipe

_LARGEST = 256  # pixels a side; no recipe's network needs as many


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Tries the recipe's split, and the shapes of its network, on the images.

    Raises:
        DataError: the images are too few for the split, too small for the network, or too small
            or too few for so many principal components.
    """
    learnt, _ = recipe.split(dataset)
    shape, net = dataset.shape, recipe.net
    if isinstance(net, Pca):
        most = min(shape.pixels, len(learnt))
        if net.latents > most:
            raise DataError(
                f"{recipe.name} keeps {net.latents} components, but {len(learnt)} training images "
                f"of {shape.pixels} numbers each have {most} at most: take {most} or fewer by "
                "--latents and --name, or more or larger images"
            )
        return
    # Where batch norm sees one pixel a channel, it matters how many images the last batch has.
    last = len(learnt) * recipe.cut.of_each % recipe.batch or recipe.batch
    try:
        _pass(net, shape, last)
    except (RuntimeError, ValueError) as error:
        sides = range(1, _LARGEST + 1)
        smallest = next((n for n in sides if _passes(net, Shape(shape.channels, n, n), last)), 0)
        if not smallest:
            raise
        raise DataError(
            f"{recipe.name} needs images of at least {smallest}x{smallest} pixels; those of "
            f"{dataset.name} are {shape.width}x{shape.height}"
        ) from error


def _pass(net: Family, shape: Shape, batch: int) -> None:
    """One batch through the network in training, of shapes alone: no number is computed."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        net(shape)(torch.empty(batch, *shape))


def _passes(net: Family, shape: Shape, batch: int) -> bool:
    try:
        _pass(net, shape, batch)
    except (RuntimeError, ValueError):
        return False
    return True
