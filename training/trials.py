"""One network of a search: trained on all folds but one, by whoever takes it first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from training import data, ensemble
from training.data import Dataset
from training.errors import DeadRun
from training.journal import Journal
from training.locks import claimed
from training.loop import train
from training.members import Member
from training.recipes import Recipe


class Point(NamedTuple):
    """One point of the grid: Adam's rate and its L2 penalty."""

    lr: float
    l2: float


# The point, the fold, and the epochs.
Key = tuple[Point, int, int]


@dataclass(frozen=True)
class Trial:
    """One network to be trained up to `until` epochs; picklable, for another process."""

    recipe: Recipe
    point: Point
    fold: int
    until: int
    seed: int
    root: Path
    checkpoint: Path

    @property
    def key(self) -> Key:
        return self.point, self.fold, self.until

    @property
    def claim(self) -> Path:
        """The file whose lock is held by whoever is at it."""
        return self.checkpoint.with_suffix(".lock")

    def is_free(self) -> bool:
        """Whether nobody is at it just now."""
        with claimed(self.claim) as ours:
            return ours


@dataclass(frozen=True)
class Outcome:
    """The loss of a trial on its fold after its last epoch, as R2's search compares them."""

    lr: float
    l2: float
    fold: int
    epochs: int
    loss: float
    died: str = ""

    @property
    def key(self) -> Key:
        return Point(self.lr, self.l2), self.fold, self.epochs


def share(trial: Trial, journal: Journal) -> Outcome | None:
    """Does a trial and writes it down, unless another process or machine is at it or was."""
    with claimed(trial.claim) as ours:
        if not ours or trial.key in found(journal):
            return None
        outcome = attempt(trial)
        journal.append(asdict(outcome))  # while it is ours: nobody finds it neither taken nor done
        return outcome


def together(
    trials: list[Trial], journal: Journal, device: str, epoch: Callable[[], None]
) -> Iterator[Outcome]:
    """Does the trials that nobody else is at as one ensemble, and writes them down.

    `epoch` is called after each of a network's epochs.
    """
    with ExitStack() as claims:
        known = found(journal)
        mine = [t for t in trials if claims.enter_context(claimed(t.claim)) and t.key not in known]
        if not mine:
            return
        runs = ensemble.train(
            [Member(trial.recipe, trial.seed) for trial in mine],
            _dataset(mine[0].recipe.data, mine[0].root),
            device=device,
            until=mine[0].until,
            checkpoints=mine[0].checkpoint.parent,
            report=lambda _member, _loss: epoch(),
        )
        for trial, run in zip(mine, runs, strict=True):
            loss = run.history[: trial.until][-1]["loss"]
            outcome = Outcome(*trial.point, trial.fold, trial.until, loss, run.died)
            journal.append(asdict(outcome))
            yield outcome


class _Reached(Exception):
    """The trial has had the epochs it was given."""


def attempt(trial: Trial) -> Outcome:
    """Trains one network, from where an earlier attempt at it stopped.

    A network that dies is an outcome like another: its last loss, that of a constant image.
    """

    def stop(epoch: int, _seen: int, _loss: object) -> None:
        if epoch >= trial.until:
            raise _Reached

    # The number of threads changes the last bits, so it is the same for one process as for ten.
    torch.set_num_threads(1)
    dataset, died = _dataset(trial.recipe.data, trial.root), ""
    try:
        ended = train(
            trial.recipe, dataset, seed=trial.seed, checkpoint=trial.checkpoint, report=stop
        )
        if ended.interrupted:
            raise KeyboardInterrupt
    except _Reached:
        pass
    except DeadRun as error:
        died = str(error)
    losses = [entry["loss"] for entry in _history(trial.checkpoint)][: trial.until]
    loss = losses[-1] if losses else float("inf")
    return Outcome(*trial.point, trial.fold, trial.until, loss, died)


@lru_cache(maxsize=1)
def _dataset(name: str, root: Path) -> Dataset:
    return data.load(name, root)


def _history(checkpoint: Path) -> list[dict[str, float]]:
    if not checkpoint.exists():
        return []
    history: list[dict[str, float]] = torch.load(checkpoint, weights_only=True)["history"]
    return history


Found = dict[Key, Outcome]


def found(journal: Journal) -> Found:
    return {outcome.key: outcome for outcome in (Outcome(**line) for line in journal.lines())}
