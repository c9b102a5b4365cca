from __future__ import annotations

import pytest
import torch

from training import losses
from training.networks import Output


def lost(noise: float, left: float) -> float:
    """The relative loss of an image whose noise of deviation `noise` was lowered to `left`."""
    signs = torch.ones(1, 1, 8, 8)
    signs[..., ::2] = -1
    clean = torch.full_like(signs, 0.5)
    output = Output(clean + left * signs, None, None)
    return float(losses.relative(output, clean + noise * signs, clean))


def test_an_error_counts_against_the_noise_it_came_from() -> None:
    assert lost(0.2, 0.02) == pytest.approx(0.02**2 / 0.21)
    assert lost(0.02, 0.02) / lost(0.2, 0.02) == pytest.approx(7)


def test_a_clean_image_may_not_be_spoilt_for_free() -> None:
    assert lost(0.0, 0.02) == pytest.approx(0.02**2 / 0.01)


def test_each_image_of_a_batch_has_noise_of_its_own() -> None:
    clean = torch.full((2, 1, 4, 4), 0.5)
    noise = torch.tensor([0.1, -0.3]).reshape(2, 1, 1, 1)
    both = losses.relative(Output(clean + 0.1, None, None), clean + noise, clean)
    assert float(both) == pytest.approx((0.01 / 0.11 + 0.01 / 0.31) / 2)
