"""Doing nothing and a linear filter, under corruptions that no request can ask for.

And the loss of the best linear variational autoencoder, which is no picture that could be served.

The reports tested with noise that leaves [0, 1] and with squares of many sizes. Our number under
such a corruption has to stand beside baselines under the same one, on the very draws that the
networks are scored on. They depend on the data alone, so they are kept apart from the manifests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from training import bound, data, linear, protocols
from training.corruption import Corruption, Gaussian, Occlusion
from training.data import Dataset
from training.networks import Autoencoder, Mlp
from training.recipes import RECIPES, Recipe
from training.reported import REPORTED, Reported
from training.seeds import generator

FILE = "baselines.json"

Values = dict[str, float]
# By data set, corruption (as its recipe would have it) and baseline.
Baselines = dict[str, dict[str, dict[str, Values]]]


def own(corruption: Corruption) -> bool:
    """Whether it is the report's own: a request can only ask for something near it."""
    if isinstance(corruption, Gaussian):
        return not corruption.clip
    return isinstance(corruption, Occlusion) and corruption.low != corruption.high


def key(recipe: Recipe, reported: Reported) -> str:
    """The name under which the baselines of a report's number are kept."""
    if reported.measure == "elbo":
        return f"bound of {_latents(recipe)} latents"
    return repr(reported.corruption)


def _latents(recipe: Recipe) -> int:
    net = recipe.net
    latents = net.widths[-1] if isinstance(net, Mlp) else getattr(net, "latents", None)
    assert isinstance(latents, int), "a variational network has a vector of latents"
    return latents


def wanted(
    recipes: Iterable[Recipe] = RECIPES,
) -> dict[str, dict[str, Callable[[Dataset], dict[str, Values]]]]:
    """How the baselines are measured that the reports' own ways of measuring ask for.

    By data set and name.
    """
    found: dict[str, dict[str, Callable[[Dataset], dict[str, Values]]]] = {}
    for recipe in recipes:
        for reported in REPORTED.get(recipe.name, ()):
            kept = found.setdefault(recipe.data, {})
            if reported.measure == "elbo":
                kept[key(recipe, reported)] = partial(_bound, _latents(recipe))
            elif own(reported.corruption):
                kept[key(recipe, reported)] = partial(measure, reported)
    return {name: kept for name, kept in found.items() if kept}


def measure_all(where: Path) -> Baselines:
    """All that are wanted, on the whole test sets found in the folder `where`."""
    return {
        name: {spec: measured(dataset) for spec, measured in ways.items()}
        for name, ways in wanted().items()
        for dataset in [data.load(name, where)]
    }


def measure(reported: Reported, dataset: Dataset) -> dict[str, Values]:
    """The scores of both baselines by the protocol of `reported`, as a network is scored."""
    subjects = {"input": nn.Identity(), "linear": _Linear(reported.corruption, dataset)}
    scores = {
        subject: protocols.score(Autoencoder(nn.Identity(), made), dataset.test, reported)
        for subject, made in subjects.items()
    }
    return {
        subject: {key: round(value, 6) for key, value in values.items()}
        for subject, values in scores.items()
    }


def _bound(latents: int, dataset: Dataset) -> dict[str, Values]:
    return {"pca": {"loss": round(bound.linear(dataset.train, dataset.test, latents), 6)}}


class _Linear(nn.Module):
    """The linear filter, fitted on training images under noise of its own."""

    def __init__(self, corrupt: Corruption, dataset: Dataset) -> None:
        super().__init__()
        clean_BCHW = dataset.train.batch(slice(linear.IMAGES))
        noisy_BCHW = corrupt(clean_BCHW, generator(0, "filter"))
        self.filter = linear.fit(*(x.permute(0, 2, 3, 1).numpy() for x in (noisy_BCHW, clean_BCHW)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.filter.floats(x_BCHW)
