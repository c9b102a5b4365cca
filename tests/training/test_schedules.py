from __future__ import annotations

import pytest
import torch

from training.schedules import Constant, Cosine, OneCycle, Plateau, Trapezoid


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


def test_a_trapezoid_rises_stays_and_falls_to_nothing() -> None:
    factors = [Trapezoid(rise=0.1, fall=0.5)(i / 100, []) for i in range(101)]
    assert factors[0] == factors[100] == 0
    assert set(factors[10:51]) == {1}
    assert factors[5] == factors[75] == 0.5


def test_how_long_a_trapezoid_is_does_not_matter_before_it_falls() -> None:
    short, long = Trapezoid(rise=1 / 10, fall=0.4), Trapezoid(rise=1 / 20, fall=0.4)
    early = [0.3, 0.9, 1.5, 4.0, 5.9]
    assert [short(e / 10, []) for e in early] == pytest.approx([long(e / 20, []) for e in early])


def test_a_constant_is_one() -> None:
    assert Constant()(0.7, [1.0]) == 1
