"""Doing nothing and a linear filter, under corruptions that no request can ask for.

The reports tested with noise that leaves [0, 1] and with squares of many sizes. Our number under
such a corruption has to stand beside baselines under the same one, on the very draws that the
networks are scored on. They depend on the data alone, so they are kept apart from the manifests.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from training import data, linear, protocols
from training.corruption import Corruption, Gaussian, Occlusion
from training.data import Dataset
from training.networks import Autoencoder
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


def wanted(recipes: Iterable[Recipe] = RECIPES) -> dict[str, dict[str, Reported]]:
    """The reports' own corruptions, by data set and name."""
    found: dict[str, dict[str, Reported]] = {}
    for recipe in recipes:
        for reported in REPORTED.get(recipe.name, ()):
            if own(reported.corruption):
                found.setdefault(recipe.data, {})[repr(reported.corruption)] = reported
    return found


def measure_all(where: Path) -> Baselines:
    """All that are wanted, on the whole test sets found in the folder `where`."""
    return {
        name: {spec: measure(reported, dataset) for spec, reported in corruptions.items()}
        for name, corruptions in wanted().items()
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


class _Linear(nn.Module):
    """The linear filter, fitted on training images under noise of its own."""

    def __init__(self, corrupt: Corruption, dataset: Dataset) -> None:
        super().__init__()
        clean_BCHW = dataset.train.batch(slice(linear.IMAGES))
        noisy_BCHW = corrupt(clean_BCHW, generator(0, "filter"))
        self.filter = linear.fit(*(x.permute(0, 2, 3, 1).numpy() for x in (noisy_BCHW, clean_BCHW)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.filter.floats(x_BCHW)
