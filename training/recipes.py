"""EVERY MODEL, one line each.

A recipe named for its report's network and budget is faithful to the report; what the report
leaves open, or does that cannot be kept (tuning on the test set), is said in `summary`.
The number of seeds, the measured scores and the time each took stand in docs/reproduction.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from training.corruption import Clean, Corruption, Gaussian
from training.data import Split
from training.errors import TrainingError
from training.lines import Line
from training.networks import Conv, Family, Mlp, Valid
from training.schedules import Adam, Constant, OneCycle, Optimiser, Plateau, Schedule

_ADAM, _CONSTANT, _CLEAN = Adam(1e-3), Constant(), Clean()


@dataclass(frozen=True, repr=False)
class Recipe(Line):
    """All that decides what a model becomes, but for the seed.

    The loss is the mean squared error per pixel; a variational network adds `kl` times the
    Kullback-Leibler divergence per pixel, raised from 0 over the first `kl_warmup` of the run.
    With `kl` 1 that is (sum of squared errors + KL) / pixels, R2's scale.
    """

    name: str
    data: str
    net: Family
    source: str
    summary: str
    epochs: int
    batch: int
    split: Split
    optimiser: Optimiser = _ADAM
    schedule: Schedule = _CONSTANT
    corruption: Corruption = _CLEAN
    shift: int = 0
    init: str = "torch"
    kl: float = 1.0
    kl_warmup: float = 0.0


# R2's own split, drawn with its own seed; R3's has no seed in the report.
R2 = Split(validation=12_000, seed=17)
R3 = Split(validation=5_000)
# R4 trains on all 60,000 and validates on nothing; 2,000 are kept apart for the plateau and to
# choose the weights, which leaves it 97 % of its data.
R4 = Split(validation=2_000)

# fmt: off
RECIPES: tuple[Recipe, ...] = (
    Recipe("mnist-mlp-8", "mnist", Mlp((392, 8)), "R4", "MNIST digits through 8 ReLU latents: report R4's dense network at its own settings.", 50, 2048, R4, Adam(1e-3), Plateau()),  # noqa: E501
    Recipe("mnist-vae-6", "mnist", Conv((8, 16, 32), 6, variational=True, paddings=(1, 1, 0)), "R2", "MNIST digits from 6 Gaussian latents: report R2's convolutional variational autoencoder.", 60, 512, R2, Adam(4e-3), OneCycle(rise=0.1)),  # noqa: E501
    Recipe("cifar10-conv-denoise", "cifar10", Valid((8, 8)), "R3", "Takes noise of std 0.05 off colour pictures of any size: report R3's four layers, with a schedule that learns.", 8, 64, R3, Adam(6e-3), OneCycle(), Gaussian(0.05)),  # noqa: E501
)
# fmt: on


def named(name: str, recipes: Iterable[Recipe] = RECIPES) -> Recipe:
    """The recipe of that name.

    Raises:
        TrainingError: there is none; the message has the close matches.
    """
    table = {recipe.name: recipe for recipe in recipes}
    if name in table:
        return table[name]
    close = get_close_matches(name, table, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`python -m training list` has all"
    raise TrainingError(f"no recipe is called {name!r}: {hint}")
