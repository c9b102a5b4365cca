from __future__ import annotations

import pytest
import torch

from training.schedules import Constant, Cosine, OneCycle, Plateau


def test_a_plateau_is_where_torch_sees_one() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=3)
    ours = Plateau(patience=3)
    losses = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1]
    for epoch, loss in enumerate(losses):
        assert ours(0.0, losses[:epoch]) == pytest.approx(optimiser.param_groups[0]["lr"])
        theirs.step(loss)


def test_one_cycle_rises_to_the_rate_and_falls_to_nothing() -> None:
    factors = [OneCycle(rise=0.25)(i / 100, []) for i in range(101)]
    assert factors[0] == pytest.approx(0.04)
    assert max(factors) == factors[25] == pytest.approx(1)
    assert factors[100] < 1e-3


def test_a_cosine_warms_up_from_nothing() -> None:
    factors = [Cosine(warmup=0.1)(i / 100, []) for i in range(101)]
    assert factors[0] == 0
    assert max(factors) == factors[10] == 1
    assert factors[100] == pytest.approx(0)


def test_a_constant_is_one() -> None:
    assert Constant()(0.7, [1.0]) == 1
