"""The reports' networks trained as their reports trained them: what their recipes really give.

The recipes of the table have the same networks, and a schedule that does them justice. Beside
them stand these: the report's optimiser, constant rate, batch and epochs, from torch's own start.
They are measured by the report's protocol and kept as numbers; nobody would want to serve them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from training import protocols, recipes
from training.data import Dataset
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


# R1 gives neither optimiser nor patience: Adam, and 100 epochs of which the best is kept. R4's
# recipe is its report's as it stands, but for seeds that were picked; a PCA has no settings.
_SIZES = (32, 64, 128, 256)
REPLICAS: dict[str, Recipe] = {
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
    for reported in REPORTED[name]:
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
