"""Optimisers and learning-rate schedules: frozen dataclasses that can be called.

A schedule has no state of its own (a plateau is read off the losses so far), so that a run
that was killed resumes where it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from training import muon
from training.lines import Line


@dataclass(frozen=True, repr=False)
class Adam(Line):
    """Adam; `l2` is added to the gradient, as torch's `weight_decay` of Adam is (the reports')."""

    lr: float
    l2: float = 0.0

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        # Fused: 19 % off an epoch of R2's network on 2 CPU cores, where steps are tiny.
        return torch.optim.Adam(parameters, self.lr, weight_decay=self.l2, fused=True)


@dataclass(frozen=True, repr=False)
class AdamW(Line):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    lr: float
    decay: float = 1e-4

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, self.lr, weight_decay=self.decay, fused=True)


@dataclass(frozen=True, repr=False)
class Muon(Line):
    """Muon for the weights between wide layers, AdamW for the others; see `training.muon`."""

    lr: float
    decay: float = 1e-4

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return muon.Muon(parameters, self.lr, self.decay)


@dataclass(frozen=True, repr=False)
class Constant(Line):
    """The optimiser's own rate throughout."""

    def __call__(self, done: float, losses: Sequence[float]) -> float:  # noqa: ARG002
        """The factor on the rate with `done` of the run behind it, and the losses so far."""
        return 1.0


@dataclass(frozen=True, repr=False)
class Plateau(Line):
    """torch's ReduceLROnPlateau("min"), on the validation loss."""

    factor: float = 0.1
    patience: int = 10

    def __call__(self, done: float, losses: Sequence[float]) -> float:  # noqa: ARG002
        scale, best, bad = 1.0, math.inf, 0
        for loss in losses:
            if loss < best * (1 - 1e-4):
                best, bad = loss, 0
            else:
                bad += 1
            if bad > self.patience:
                scale, bad = scale * self.factor, 0
        return scale


@dataclass(frozen=True, repr=False)
class OneCycle(Line):
    """Up from 1/25 of the rate over the first `rise` of the run, then down to nothing, by cosines.

    Smith and Topin 2018, without cycling the momentum.
    """

    rise: float = 0.3

    def __call__(self, done: float, losses: Sequence[float]) -> float:  # noqa: ARG002
        if done < self.rise:
            return _between(1 / 25, 1.0, done / self.rise)
        return _between(1.0, 1e-4, (done - self.rise) / (1 - self.rise))


@dataclass(frozen=True, repr=False)
class Cosine(Line):
    """A straight rise over the first `warmup` of the run, then half a cosine down to nothing."""

    warmup: float = 0.05

    def __call__(self, done: float, losses: Sequence[float]) -> float:  # noqa: ARG002
        if done < self.warmup:
            return done / self.warmup
        return _between(1.0, 0.0, (done - self.warmup) / (1 - self.warmup))


@dataclass(frozen=True, repr=False)
class Trapezoid(Line):
    """A straight rise over the first `rise` of the run, and a straight fall over the last `fall`.

    Until the fall begins nothing depends on the length of the run, so that a checkpoint may still
    be given a longer or a shorter one (Zhai et al. 2022, "Scaling vision transformers").
    """

    rise: float = 0.05
    fall: float = 0.4

    def __call__(self, done: float, losses: Sequence[float]) -> float:  # noqa: ARG002
        return min(1.0, done / self.rise, (1 - done) / self.fall)


def _between(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


Optimiser = Adam | AdamW | Muon
Schedule = Constant | Plateau | OneCycle | Cosine | Trapezoid
