"""Trains many networks of one family at once: one matrix of weights, a network a row.

Seed, data split, rate and weight decay are each network's own; so are its order of images and its
noise, drawn as training/loop.py draws them, so that each ends as if it had been trained alone but
for rounding. No operation mixes rows: a network that diverges ends alone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from training import fused
from training.corruption import Clean, Once, shifted
from training.crops import Whole
from training.data import Dataset, Split
from training.errors import TrainingError
from training.loop import VALIDATION_BATCH, Trained, constant_mse, verdict
from training.members import Limits, Member, Parts, Row, begin_or_resume
from training.networks import Pca, Shape
from training.passes import at_once, passes
from training.recipes import Recipe
from training.schedules import Adam, Muon
from training.seeds import generator
from training.stacked import stacks
from training.stepping import Stepping

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAVES = 30.0


# Called after each epoch of each member, with the member and its validation loss.
Report = Callable[[Member, float], None]


def fits(recipe: Recipe, shape: Shape) -> bool:
    """Whether networks of the recipe can be trained in an ensemble.

    Batch norm, dropout and the U-Net cannot, nor gradients that are cut, crops or noise drawn
    once: what they compute would differ.
    """
    if isinstance(recipe.net, Pca) or math.isfinite(recipe.clip) or recipe.cut != Whole():
        return False
    if isinstance(recipe.corruption, Once):
        return False
    return stacks(recipe.net(shape))


def pays(recipe: Recipe, shape: Shape, device: str) -> bool:
    """Whether its networks are trained faster in an ensemble than one by one."""
    net = recipe.net(shape)
    return stacks(net) and (device != "cpu" or fused.fits(net, device, bf16=recipe.bf16))


def train(
    members: Sequence[Member],
    dataset: Dataset,
    *,
    device: str = "cpu",
    until: int | None = None,
    patience: int | None = None,
    together: int | None = None,
    checkpoints: Path | None = None,
    report: Report | None = None,
) -> list[Trained]:
    """Trains every member and gives, in their order, the weights best on the validation images.

    `until` stops all after that epoch of their recipes' own, `patience` one whose validation loss
    has not been its lowest for so many epochs. `together` is how many are trained at once; where
    memory does not hold them it is halved, and the log says so. In the folder `checkpoints` each
    has a file, with which a later call goes on. A member that dies says why in `died`.

    Raises:
        TrainingError: networks that have to be trained alone (see `fits`).
    """
    for recipe in {member.recipe.name: member.recipe for member in members}.values():
        if not fits(recipe, dataset.shape):
            raise TrainingError(
                f"{recipe.name} cannot be trained in an ensemble, for its batch norm, dropout, "
                "U-Net, `clip`, crops or noise drawn once: train it one seed at a time, without "
                "--together"
            )
    parts = {m.recipe.split: m.recipe.split(dataset) for m in members}
    rows = [begin_or_resume(m, parts, dataset, device, checkpoints) for m in members]
    limits = Limits(until, patience)
    most = together
    while groups := _groups([row for row in rows if limits.open(row)], parts):
        recipe = groups[0][0].member.recipe
        best = at_once(recipe.net(dataset.shape), torch.device(device), bf16=recipe.bf16)
        group = groups[0][: most or best]
        try:
            _Group(group, parts, dataset, device).run(limits, checkpoints, report)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if len(group) == 1 or not _is_memory(error):
                raise
            most = len(group) // 2
            log.warning("not enough memory for %d networks at once: %d then", len(group), most)
    return [row.finish(dataset) for row in rows]


def _groups(rows: Sequence[Row], parts: Parts) -> list[list[Row]]:
    """Those that can be trained together: alike but for seed, rates and split, and as far on."""
    groups: dict[tuple[Recipe, int, tuple[int, ...]], list[Row]] = {}
    for row in rows:
        recipe = row.member.recipe
        kind = Muon(0.0) if isinstance(recipe.optimiser, Muon) else Adam(0.0)
        alike = replace(recipe, name="", source="", summary="", optimiser=kind, split=Split(0))
        sizes = tuple(len(part) for part in parts[recipe.split])
        groups.setdefault((alike, row.epoch, sizes), []).append(row)
    return list(groups.values())


def _is_memory(error: BaseException) -> bool:
    """Whether memory ran out; on the CPU torch says so with a RuntimeError."""
    words = "can't allocate memory"
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or words in str(error)


class _Group:
    """Rows that are trained together; the last one's end is written back to each."""

    def __init__(self, rows: list[Row], parts: Parts, dataset: Dataset, device: str) -> None:
        self.device = torch.device(device)
        self.recipe = rows[0].member.recipe
        self.net = self.recipe.net(dataset.shape)
        self.passes = passes(self.net, dataset.shape, self.device, bf16=self.recipe.bf16)
        splits = list(dict.fromkeys(row.member.recipe.split for row in rows))
        pairs = [[part.pixels for part in parts[split]] for split in splits]
        self.learn, self.check = (
            torch.stack(pixels).to(self.device) for pixels in zip(*pairs, strict=True)
        )
        self.constants = [constant_mse(parts[split][1]) for split in splits]
        self.splits = [splits.index(row.member.recipe.split) for row in rows]
        self.rows, self.steps = rows, rows[0].steps
        self.gather()

    def gather(self) -> None:
        """Puts the rows' states into matrices [N,P]."""
        states = zip(*((r.weights, r.mean, r.square, r.best) for r in self.rows), strict=True)
        self.weights, self.mean, self.square, self.best = map(torch.stack, states)
        optimisers = [row.member.recipe.optimiser for row in self.rows]
        self.step = Stepping(self.net, optimisers, self.weights)

    def run(self, limits: Limits, checkpoints: Path | None, report: Report | None) -> None:
        """Trains until no row has epochs before it, and leaves the state in the rows."""
        with self.passes:
            self._run(limits, checkpoints, report)

    def _run(self, limits: Limits, checkpoints: Path | None, report: Report | None) -> None:
        saved = time.monotonic()
        while self.rows:
            self.epoch()
            if report is not None:
                for row in self.rows:
                    report(row.member, row.history[-1]["loss"])
            ended = [row for row in self.rows if not limits.open(row)]
            if checkpoints is not None:
                due = time.monotonic() - saved > _SECONDS_BETWEEN_SAVES
                for row in self.rows if due else ended:
                    row.save(checkpoints)
                saved = time.monotonic() if due else saved
            if ended:
                kept = [n for n, row in enumerate(self.rows) if limits.open(row)]
                self.rows = [self.rows[n] for n in kept]
                self.splits = [self.splits[n] for n in kept]
                if self.rows:
                    self.gather()

    def epoch(self) -> None:
        """One epoch of every row, and its validation."""
        started = time.perf_counter()
        recipe, rows, epoch = self.recipe, self.rows, self.rows[0].epoch
        count, N = self.learn.shape[1], len(rows)
        seeds = [row.member.seed for row in rows]
        order_NM = torch.stack(
            [torch.randperm(count, generator=generator(seed, "order", epoch)) for seed in seeds]
        ).to(self.device)
        noise = [generator(seed, "noise", epoch, self.device) for seed in seeds]
        losses = [[entry["loss"] for entry in row.history] for row in rows]
        total_N = torch.zeros(N, device=self.device)
        for start in range(0, count, recipe.batch):
            index_NB = order_NM[:, start : start + recipe.batch]
            done = (epoch + start / count) / recipe.epochs
            factors = [row.member.recipe.schedule(done, past)
                       for row, past in zip(rows, losses, strict=True)]  # fmt: skip
            draw = partial(self.batch, self.learn, index_NB, noise, recipe.shift)
            weight = min(1.0, done / recipe.kl_warmup) if recipe.kl_warmup else 1.0
            mse_N, kl_N, gradient = self.passes.learn(self.weights, draw, noise, recipe.kl * weight)
            self.steps += 1
            factor_N1 = torch.tensor(factors, device=self.device)[:, None]
            self.step(self.weights, gradient, self.mean, self.square, self.steps, factor_N1)
            total_N += (mse_N + recipe.kl * weight * kl_N) * index_NB.shape[1]
        self.validate((total_N / count).tolist())
        seconds = (time.perf_counter() - started) / N
        for row in rows:
            row.seconds += seconds
            row.history[-1]["seconds"] = row.seconds

    def batch(
        self, of: Tensor, index_NB: Tensor, noise: Sequence[torch.Generator], shift: int,
        rows: slice,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Clean and noisy images [N,B,C,H,W] of some rows, the noise drawn as for one alone."""
        index_NB, noise = index_NB[rows], noise[rows]
        first_N1 = torch.tensor(self.splits[rows], device=self.device)[:, None] * of.shape[1]
        # With indices in brackets a batch takes four times as long.
        pixels = of.flatten(0, 1).index_select(0, (first_N1 + index_NB).flatten())
        pixels_NBHWC = pixels.view(*index_NB.shape, *of.shape[2:])
        x_NBCHW = pixels_NBHWC.permute(0, 1, 4, 2, 3).float().div_(255)
        if not shift and isinstance(self.recipe.corruption, Clean):
            return x_NBCHW, x_NBCHW
        clean = [shifted(x, shift, own) for x, own in zip(x_NBCHW, noise, strict=True)]
        pairs = zip(clean, noise, strict=True)
        return torch.stack(clean), torch.stack([self.recipe.corruption(*pair) for pair in pairs])

    @torch.no_grad()
    def validate(self, train_losses: Sequence[float]) -> None:
        """Scores every row as training/loop.py does, keeps its best weights, buries the dead."""
        mse_N, kl_N = self.score()
        entries = zip(train_losses, mse_N.tolist(), kl_N.tolist(), strict=True)
        for n, (row, (train_loss, mse, kl)) in enumerate(zip(self.rows, entries, strict=True)):
            loss = mse + self.recipe.kl * kl
            row.history.append(
                {"epoch": row.epoch + 1, "train": train_loss, "loss": loss, "mse": mse, "kl": kl}
            )
            if loss < row.best_loss:
                row.best_loss = loss
                self.best[n] = self.weights[n]
            row.died = verdict(row.member.recipe, row.history, self.constants[self.splits[n]])
            row.steps = self.steps
            row.weights, row.mean = self.weights[n].detach().clone(), self.mean[n].clone()
            row.square, row.best = self.square[n].clone(), self.best[n].clone()

    def score(self) -> tuple[Tensor, Tensor]:
        """The mean squared errors and the KL divergences per pixel, [N] each."""
        noise = [generator(0, "validation", device=self.device) for _ in self.rows]
        totals = torch.zeros(2, len(self.rows), device=self.device)
        count = self.check.shape[1]
        every = torch.arange(count, device=self.device).expand(len(self.rows), -1)
        for part in torch.split(every, VALIDATION_BATCH, 1):
            draw = partial(self.batch, self.check, part, noise, 0)
            terms = self.passes.score(self.weights, draw, noise)
            totals += torch.stack(terms) * part.shape[1]
        mse_N, kl_N = totals / count
        return mse_N, kl_N
