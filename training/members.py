"""The members of an ensemble: what each is, how far it has come, and its file on the disk."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.data import Dataset, Images, Split
from training.loop import Trained, first, identity
from training.recipes import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One network to be trained."""

    recipe: Recipe
    seed: int = 0


@dataclass
class Row:
    """A member between two epochs: all that its next epoch depends on."""

    member: Member
    identity: str
    weights: Tensor
    mean: Tensor
    square: Tensor
    best: Tensor
    best_loss: float
    steps: int
    seconds: float
    history: list[dict[str, float]]
    died: str

    @property
    def epoch(self) -> int:
        return len(self.history)

    def finish(self, dataset: Dataset) -> Trained:
        net = self.member.recipe.net(dataset.shape)
        torch.nn.utils.vector_to_parameters(self.best.cpu(), net.parameters())
        return Trained(net.eval(), self.epoch, self.seconds, self.history, died=self.died)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{self.identity}.partial"
        torch.save({k: v for k, v in vars(self).items() if k != "member"}, unfinished)
        unfinished.replace(_file(folder, self.identity))


@dataclass(frozen=True)
class Limits:
    until: int | None
    patience: int | None

    def open(self, row: Row) -> bool:
        """Whether the member has epochs before it."""
        epochs = row.member.recipe.epochs
        if row.died or row.epoch >= min(epochs, self.until or epochs):
            return False
        losses = [entry["loss"] for entry in row.history]
        return not (self.patience and losses and min(losses[-self.patience :]) > min(losses))


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name[:24]}.pt"


# What each split makes of the data: the images to learn from, and those to validate on.
Parts = dict[Split, tuple[Images, Images]]


def begin_or_resume(
    member: Member, parts: Parts, dataset: Dataset, device: str, folder: Path | None
) -> Row:
    name = identity(member.recipe, member.seed, dataset)
    if folder is not None and _file(folder, name).exists():
        try:
            state: dict[str, Any] = torch.load(
                _file(folder, name), map_location=device, weights_only=True
            )
        except Exception as error:
            log.warning("%s cannot be read (%s); starting anew", _file(folder, name), error)
        else:
            if state["identity"] == name:
                return Row(member, **state)
    few = parts[member.recipe.split][0][slice(0, 512)]
    few = Images(few.pixels.to(device), few.labels)
    net = first(member.recipe, few, dataset.shape, member.seed)
    weights = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
    nothing = torch.zeros_like(weights)
    return Row(
        member, name, weights, nothing, nothing, weights, math.inf, 0, 0.0, [], ""
    )  # fmt: skip
