"""A row's steps are those of its own optimiser on a network alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.schedules import Adam, AdamW, Muon, Optimiser
from training.stepping import Stepping


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.Conv2d(16, 20, 3), nn.Flatten(), nn.Linear(20, 17))


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([each.detach().flatten() for each in tensors])


@pytest.mark.parametrize("optimisers", [
    [Adam(1e-3), Adam(1e-2, l2=0.1), AdamW(3e-3, decay=0.5)], [Muon(1e-3), Muon(1e-2, decay=0.3)],
], ids=["adam", "muon"])  # fmt: skip
def test_each_row_takes_the_steps_of_its_own_optimiser(optimisers: list[Optimiser]) -> None:
    nets = [network() for _ in optimisers]
    alone = [each(net.parameters()) for each, net in zip(optimisers, nets, strict=True)]
    weights = torch.stack([flat(list(net.parameters())) for net in nets])
    step, mean, square = Stepping(nets[0], optimisers, weights), *torch.zeros(2, *weights.shape)
    for count, factor in enumerate((1.0, 0.5, 0.1), start=1):
        for net, optimiser, each in zip(nets, alone, optimisers, strict=True):
            for parameter in net.parameters():
                parameter.grad = torch.randn(parameter.shape)
            for group in optimiser.param_groups:
                group["lr"] = each.lr * factor
        gradient = torch.stack(
            [flat([p.grad for p in net.parameters() if p.grad is not None]) for net in nets]
        )
        factors = torch.full((len(nets), 1), factor)
        step(weights, gradient, mean, square, count, factors)
        for optimiser in alone:
            optimiser.step()
    for row, net in zip(weights, nets, strict=True):
        torch.testing.assert_close(row, flat(list(net.parameters())), rtol=1e-5, atol=1e-7)
