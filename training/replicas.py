"""The reports' networks trained as their reports trained them: what their recipes really give.

The recipes of the table have the same networks, and a schedule that does them justice. Beside
them stand these: the report's optimiser, constant rate, batch and epochs, from torch's own start.
They are measured by the report's protocol and kept as numbers; nobody would want to serve them.

Where a report can be read in two ways, or its author's code did another thing than its text says,
the second reading is a replica too, NAME@READING.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from training import protocols, recipes
from training.corruption import Gaussian, Occlusion, Once, OneOf
from training.data import Dataset, Images, Split
from training.errors import DeadRun
from training.loop import Trained
from training.recipes import Recipe
from training.reported import REPORTED
from training.schedules import Adam, Constant

FILE = "replicas.json"

# Gives the network of a recipe and a seed.
Train = Callable[[Recipe, int], Trained]


def _settings(optimiser: Adam, batch: int, epochs: int, *names: str) -> dict[str, Recipe]:
    found = {}
    for name in names:
        found[name] = replace(
            recipes.named(name), optimiser=optimiser, batch=batch, epochs=epochs,
            schedule=Constant(), init="torch", shift=0, bf16=False,
        )  # fmt: skip
    return found


@dataclass(frozen=True, repr=False)
class OfTheFirst(Split):
    """Splits the first `images` of a set, as if there were no more to learn from."""

    images: int = 50_000

    def __call__(self, dataset: Dataset) -> tuple[Images, Images]:
        return super().__call__(replace(dataset, train=dataset.train[: self.images]))


# R1 gives neither optimiser nor patience: Adam, and 100 epochs of which the best is kept. R4's
# recipe is its report's as it stands, but for seeds that were picked; a PCA has no settings.
_SIZES = (32, 64, 128, 256)
_AS_TAKEN: dict[str, Recipe] = {
    **_settings(Adam(1e-3, l2=1e-5), 128, 20, "mnist-colour-conv", "mnist-colour-conv-dropout"),
    **_settings(
        Adam(1e-3), 32, 100,
        *(f"mnist5-mlp-{k}" for k in _SIZES), *(f"mnist5-mlp-400-{k}" for k in _SIZES),
        *(f"mnist5-mlp-256-denoise-{n}" for n in (20, 40)),
    ),
    **_settings(
        Adam(4e-3, l2=2e-5), 512, 80,
        *(f"mnist-conv-{d}" for d in (2, 4, 6, 8, 10, 15, 20, 30)),
        "mnist-conv-6-denoise", "mnist-vae-6",
    ),
    **_settings(
        Adam(1e-4, l2=1e-5), 16, 3,
        "cifar10-conv", "cifar10-conv-denoise", "cifar10-conv-denoise-heavy",
    ),
    "mnist-mlp-8": recipes.named("mnist-mlp-8"),
}  # fmt: skip


def _once(name: str) -> Recipe:
    recipe = _AS_TAKEN[name]
    assert isinstance(recipe.corruption, Gaussian | OneOf)
    return replace(recipe, corruption=Once(recipe.corruption))


# What sets a second reading apart from the first.
READINGS = {
    "once": "noise drawn once, the same in every epoch",
    "two": "noisy or occluded images, none clean",
    "50000": "50,000 images to learn from, 10,000 for validation",
    "40000": "40,000 images to learn from, 10,000 for validation",
}
_R2 = _AS_TAKEN["mnist-conv-6"]
REPLICAS: dict[str, Recipe] = {
    **_AS_TAKEN,
    # R0's code draws it once; R1's does by its gap between training and validation.
    **{
        f"{name}@once": _once(name)
        for name in (
            "mnist-colour-conv", "mnist-colour-conv-dropout",
            "mnist5-mlp-256-denoise-20", "mnist5-mlp-256-denoise-40",
        )
    },
    # R2's text counts 50,000 images, of which 80 % are learnt from; its code splits all 60,000.
    "mnist-conv-6@50000": replace(_R2, split=Split(10_000, seed=17)),
    "mnist-conv-6@40000": replace(_R2, split=OfTheFirst(10_000, seed=17)),
    # R2's text chooses between two kinds of noise, so that no image stays clean.
    "mnist-conv-6-denoise@two": replace(
        _AS_TAKEN["mnist-conv-6-denoise"],
        corruption=OneOf((Gaussian(0.5, clip=False), Occlusion(5, 13))),
    ),
}  # fmt: skip


def readings(name: str) -> list[str]:
    """The replicas of a recipe: its first reading, then the others."""
    return [key for key in REPLICAS if key.partition("@")[0] == name]


def apart(key: str) -> str:
    """What sets a reading apart, in words; nothing for a first one."""
    _, _, reading = key.partition("@")
    return READINGS[reading] if reading else ""


def replicate(name: str, dataset: Dataset, seeds: list[int], train: Train) -> dict[str, Any]:
    """Trains a replica with each seed: its values, mean and spread, for each row of its report.

    A seed that ends as a constant image is counted under `died`, with the last one's reason.
    """
    recipe = REPLICAS[name]
    runs: list[Trained] = []
    died: list[str] = []
    for seed in seeds:
        try:
            runs.append(train(recipe, seed))
        except DeadRun as death:
            died.append(str(death))
    rows = []
    for reported in REPORTED[recipe.name]:
        mean, spread = protocols.of_seeds([run.net for run in runs], dataset.test, reported)
        rows.append({"values": mean, "spread": spread})
    return {
        "recipe": repr(recipe), "seeds": seeds, "died": died, "rows": rows,
        "seconds": round(sum(run.seconds for run in runs), 1),
    }  # fmt: skip


def current(found: Mapping[str, Any] | None, name: str, seeds: list[int]) -> bool:
    """Whether what is known of a replica is of its settings as they stand, and of those seeds."""
    if found is None:
        return False
    return (found["recipe"], found["seeds"]) == (repr(REPLICAS[name]), seeds)
