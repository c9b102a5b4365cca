"""The random search of report R2: a grid, draws by a named seed, cross-validation, resumable.

A trial is one network trained on all folds but one, on one thread of a process of its own. Each
finished trial is a line of the journal and each epoch of an unfinished one a checkpoint, so that
a search killed at any moment goes on, and ends, as if it had not been. Several may share a folder,
also on several machines: each takes the trials that nobody else is at.

With `halving` (Jamieson and Talwalkar 2016) every point gets a ninth of the epochs, the better
third of them a third, and the best ninth all.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.data import Dataset, Images, Split
from training.journal import Journal
from training.processes import pool
from training.recipes import Recipe
from training.schedules import Adam, Constant
from training.seeds import generator
from training.trials import Found, Outcome, Point, Trial, found, share, together

RATES = (*(k * 1e-4 for k in range(1, 10)), *(k * 1e-3 for k in range(1, 11)))
DECAYS = (*(k * 1e-5 for k in range(1, 10)), *(k * 1e-4 for k in range(1, 11)))
_ETA = 3
# Networks of an ensemble on a CPU: another machine finds the others free.
_SHARE = 8
# Seconds between two looks at what others are at; a trial takes minutes.
_PAUSE = 2.0


@dataclass(frozen=True, repr=False)
class Fold(Split):
    """Takes the training images of a split, and keeps one of `count` equal parts apart instead."""

    index: int = 0
    count: int = 4

    def __call__(self, dataset: Dataset) -> tuple[Images, Images]:
        """The images of the other folds, and those of this one."""
        pool, _ = super().__call__(dataset)
        parts = torch.randperm(len(pool), generator=generator(0, "folds")).chunk(self.count)
        others = [part for place, part in enumerate(parts) if place != self.index]
        return pool[torch.cat(others)], pool[parts[self.index]]


@dataclass(frozen=True)
class Search:
    """What is searched: `base` names the network, the data and the batch.

    The points are `draws` of the grid, and those of `also`, wherever they lie.

    With a `device`, networks are trained together there, as ensembles (training/ensemble.py), which
    is faster where `ensemble.pays`; without, each on a CPU thread of a process of its own.
    """

    base: Recipe
    draws: int = 35
    folds: int = 4
    epochs: int = 15
    seed: int = 0
    halving: bool = False
    device: str = ""
    also: tuple[Point, ...] = ()

    def points(self) -> list[Point]:
        """The points, none twice, where the report drew one pair two times."""
        grid = [Point(round(lr, 5), round(l2, 6)) for lr in RATES for l2 in DECAYS]
        order = torch.randperm(len(grid), generator=generator(self.seed, "search"))
        drawn = [grid[place] for place in order[: self.draws].tolist()]
        return list(dict.fromkeys([*drawn, *self.also]))

    @property
    def identity(self) -> str:
        """What a journal must be of to go on with: more draws, or rungs, need not start anew."""
        engine = " in an ensemble" if self.device else ""
        return f"{self.recipe(Point(0, 0), 0)!r} seed {self.seed}{engine}"

    def rungs(self) -> list[int]:
        """After how many epochs the points are compared; the last are all."""
        if not self.halving:
            return [self.epochs]
        return sorted({-(-self.epochs // _ETA**2), -(-self.epochs // _ETA), self.epochs})

    def recipe(self, point: Point, fold: int) -> Recipe:
        """The recipe of one trial, which keeps a fold apart."""
        split = self.base.split
        fold_apart = Fold(split.validation, split.seed, split.stratified, fold, self.folds)
        return replace(self.alone(point), split=fold_apart)

    def alone(self, point: Point) -> Recipe:
        """A point's recipe on all folds: its optimiser, the rate constant as in the report."""
        return replace(
            self.base,
            # Nothing that the search does not depend on: it outlives a change of the table.
            summary="",
            epochs=self.epochs,
            optimiser=Adam(point.lr, point.l2),
            schedule=Constant(),
        )


@dataclass(frozen=True)
class Result:
    """A point in the table: its losses on the folds after the most epochs it was given."""

    lr: float
    l2: float
    epochs: int
    losses: tuple[float, ...]
    died: int

    @property
    def mean(self) -> float:
        return statistics.fmean(self.losses)

    @property
    def spread(self) -> float:
        return statistics.stdev(self.losses) if len(self.losses) > 1 else 0.0


# Called with the epochs done, the epochs in all, and the outcome that came last.
Progress = Callable[[int, int, Outcome | None], None]


def run(
    search: Search,
    root: Path,
    folder: Path,
    *,
    processes: int = 2,
    progress: Progress | None = None,
) -> list[Result]:
    """Does what is left of the search and gives its table, the best point first.

    Others that run the same search in the same folder share the work, and give the same table.

    Raises:
        TrainingError: `folder` holds the journal of another search.
    """
    journal = Journal(folder / "journal.jsonl", search.identity)
    known = found(journal)
    alive = search.points()
    for until in search.rungs():
        trials = [
            _trial(search, point, fold, until, root, folder)
            for point in alive
            for fold in range(search.folds)
        ]
        _rung(search, trials, known, journal, processes, progress)
        alive = sorted(alive, key=lambda p: _mean(known, p, until, search.folds))
        if until < search.epochs:
            alive = alive[: -(-len(alive) // _ETA)]
    shutil.rmtree(folder / "trials", ignore_errors=True)
    return _table(search, known)


def _rung(
    search: Search,
    trials: list[Trial],
    known: Found,
    journal: Journal,
    processes: int,
    progress: Progress | None,
) -> None:
    """Adds the outcomes of the trials to what is known; those that others are at are awaited."""
    under_way = 0

    def told(outcome: Outcome | None) -> None:
        if progress is not None:
            done = [trial.until for trial in trials if trial.key in known]
            progress(sum(done) + under_way, sum(trial.until for trial in trials), outcome)

    def epoch() -> None:
        nonlocal under_way
        under_way += 1
        told(None)

    told(None)
    while missing := [trial for trial in trials if trial.key not in known]:
        free = [trial for trial in missing if trial.is_free()]
        for outcome in (
            together(
                free[:_SHARE] if search.device == "cpu" else free, journal, search.device, epoch
            )
            if search.device
            else _outcomes(free, processes, journal)
        ):
            under_way = 0
            if outcome is not None:
                known[outcome.key] = outcome
                told(outcome)
        known |= found(journal)
        if not free:  # all that is left is somebody else's, or was a moment ago
            told(None)
            time.sleep(_PAUSE)


def _trial(search: Search, point: Point, fold: int, until: int, root: Path, folder: Path) -> Trial:
    checkpoint = folder / "trials" / f"{point.lr:g}-{point.l2:g}-{fold}.pt"
    return Trial(search.recipe(point, fold), point, fold, until, search.seed, root, checkpoint)


def _outcomes(trials: list[Trial], processes: int, journal: Journal) -> Iterator[Outcome | None]:
    """The outcomes as they come, None of those that are others'; with one process, in this one."""
    if processes == 1 or len(trials) < 2:
        yield from (share(trial, journal) for trial in trials)
        return
    with pool(processes) as workers:
        try:
            for future in as_completed([workers.submit(share, t, journal) for t in trials]):
                yield future.result()
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def _mean(known: Found, point: Point, until: int, folds: int) -> float:
    return statistics.fmean(known[point, fold, until].loss for fold in range(folds))


def _table(search: Search, known: Found) -> list[Result]:
    lines = []
    for point in search.points():
        until = max(epochs for where, _, epochs in known if where == point)
        outcomes = [known[point, fold, until] for fold in range(search.folds)]
        losses = tuple(outcome.loss for outcome in outcomes)
        died = sum(bool(outcome.died) for outcome in outcomes)
        lines.append(Result(*point, until, losses, died))
    return sorted(lines, key=lambda line: (-line.epochs, line.mean))
