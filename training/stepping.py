"""The steps of an ensemble's optimisers, as training/schedules.py names them, each at its rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from training import muon
from training.schedules import Muon, Optimiser

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Stepping:
    """Adam (Kingma and Ba 2015) on the rows of [N,P], or Muon where the first optimiser is that.

    `mean` and `square` are the optimisers' state; of what Muon moves, `mean` is the momentum.
    """

    def __init__(self, net: nn.Module, optimisers: Sequence[Optimiser], like: Tensor) -> None:
        self.lr, self.l2, self.decay = (
            like.new_tensor([[getattr(each, name, 0.0)] for each in optimisers])
            for name in ("lr", "l2", "decay")
        )
        self.matrices: list[tuple[slice, torch.Size]] = []
        self.rest: list[slice] = []
        is_muon, start = isinstance(optimisers[0], Muon), 0
        for is_wide, some in groupby(net.parameters(), lambda p: is_muon and muon.is_wide(p)):
            first = start
            for parameter in some:
                if is_wide:
                    self.matrices.append((slice(start, start + parameter.numel()),
                                          parameter.flatten(1).shape))  # fmt: skip
                start += parameter.numel()
            if not is_wide:
                self.rest.append(slice(first, start))

    @torch.no_grad()
    def __call__(
        self, weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor,
        steps: int, factor_N1: Tensor,
    ) -> None:  # fmt: skip
        """One step, the `steps`th, at so much of each row's rate."""
        lr = self.lr * factor_N1
        weights.mul_(1 - lr * self.decay)
        gradient = gradient.addcmul(weights, self.l2)
        for part in self.rest:
            own = (each[:, part] for each in (weights, gradient, mean, square))
            _adam(*own, lr=lr, steps=steps)
        for part, shape in self.matrices:
            ahead = muon.ahead(gradient[:, part], mean[:, part]).view(-1, *shape)
            step = muon.orthogonalised(ahead).flatten(1) * muon.scale(shape)
            weights[:, part].addcmul_(step, -lr)


def _adam(
    weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, *, lr: Tensor, steps: int
) -> None:
    slow, slower = _BETAS
    mean.lerp_(gradient, 1 - slow)
    square.mul_(slower).addcmul_(gradient, gradient, value=1 - slower)
    size = square.sqrt().div_(math.sqrt(1 - slower**steps)).add_(_EPSILON)
    weights.addcdiv_(mean * (-lr / (1 - slow**steps)), size)
