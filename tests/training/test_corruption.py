from __future__ import annotations

import pytest
import torch

from service import corruption as served
from training.corruption import (
    Clean,
    Corruption,
    Gaussian,
    GaussianUpTo,
    Jitter,
    Occlusion,
    Once,
    OneOf,
    learnt_from,
    shifted,
)
from training.seeds import generator

GREY_BCHW = torch.full((64, 1, 28, 28), 0.5)


def test_noise_has_its_standard_deviation() -> None:
    noisy = Gaussian(0.05)(GREY_BCHW, generator(0, "test"))
    assert float((noisy - GREY_BCHW).std()) == pytest.approx(0.05, rel=0.02)


def test_noise_stays_in_range_only_if_it_is_clipped() -> None:
    assert Gaussian(0.5)(GREY_BCHW, generator(0, "test")).min() == 0
    assert Gaussian(0.5, clip=False)(GREY_BCHW, generator(0, "test")).min() < -0.5


@pytest.mark.parametrize(("share", "few", "many"), [(1.0, 64, 64), (0.25, 6, 26), (0.0, 0, 0)])
def test_a_share_of_the_images_is_clipped(share: float, few: int, many: int) -> None:
    corrupt = GaussianUpTo(0.3, 0.5, typical=0.4, clipped=share)
    noisy = corrupt(GREY_BCHW, generator(0, "test"))
    within = ((noisy >= 0) & (noisy <= 1)).flatten(1).all(1)
    assert few <= int(within.sum()) <= many


def test_jitter_is_noise_of_every_level_that_nobody_is_asked_to_take_off() -> None:
    jittered = Jitter(0.3)(GREY_BCHW, generator(0, "test"))
    noisy = GaussianUpTo(0.0, 0.3, typical=0.1)(GREY_BCHW, generator(0, "test"))
    assert torch.equal(jittered, noisy)
    levels = (jittered - GREY_BCHW).flatten(1).std(1)
    assert levels.min() < 0.05 < 0.2 < levels.max() < 0.31
    assert Jitter(0.3).served is None


def test_noise_drawn_once_belongs_to_an_image_wherever_in_an_epoch_it_comes() -> None:
    order, noise = torch.randperm(64), generator(0, "noise")
    once = Once(Gaussian(0.3))
    first = learnt_from(once, GREY_BCHW, torch.arange(64), noise, 0)
    again = learnt_from(once, GREY_BCHW[order], order, noise, 0)
    assert torch.equal(again, first[order])
    assert len(first.flatten(1).unique(dim=0)) == 64
    assert not torch.equal(first, learnt_from(once, GREY_BCHW, torch.arange(64), noise, 1))
    assert float((first - GREY_BCHW).std()) == pytest.approx(0.266, rel=0.05), "0.3, clipped"


def test_other_noise_is_drawn_anew_for_every_batch() -> None:
    noise, index = generator(0, "noise"), torch.arange(64)
    batches = [learnt_from(Gaussian(0.3), GREY_BCHW, index, noise, 0) for _ in range(2)]
    assert not torch.equal(*batches)


def test_images_that_are_not_learnt_from_are_corrupted_as_ever() -> None:
    plain, once = (corrupt(GREY_BCHW, generator(0, "test"))
                   for corrupt in (Gaussian(0.3), Once(Gaussian(0.3))))  # fmt: skip
    assert torch.equal(plain, once)
    assert Once(Gaussian(0.3)).served == "gaussian:0.3"


def test_noise_keeps_the_layout_of_the_images_in_memory() -> None:
    x_BCHW = torch.rand(2, 8, 8, 3).permute(0, 3, 1, 2)
    assert Gaussian(0.1)(x_BCHW, generator(0, "test")).stride() == x_BCHW.stride()


def test_an_occlusion_is_one_black_square_within_the_image() -> None:
    occluded = Occlusion(5, 13)(GREY_BCHW, generator(0, "test"))
    for image in occluded[:, 0]:
        rows, columns = torch.nonzero(image == 0, as_tuple=True)
        height = int(rows.max() - rows.min()) + 1
        assert height == int(columns.max() - columns.min()) + 1
        assert 5 <= height <= 13
        assert len(rows) == height * height


def test_a_mixture_uses_each_of_its_ways() -> None:
    mixed = OneOf((Clean(), Occlusion(5, 5)))(GREY_BCHW, generator(0, "test"))
    touched = int(((mixed == 0).flatten(1).any(1)).sum())
    assert 16 < touched < 48


def test_a_shift_moves_the_image_and_lets_black_in() -> None:
    x_BCHW = torch.zeros(50, 1, 9, 9)
    x_BCHW[:, :, 4, 4] = 1
    moved = shifted(x_BCHW, 2, generator(0, "test"))
    places = {tuple(torch.nonzero(image[0])[0].tolist()) for image in moved}
    assert len(places) > 10
    assert all(2 <= y <= 6 and 2 <= x <= 6 for y, x in places)


@pytest.mark.parametrize("made", [Gaussian(0.05), Gaussian(0.31623), Occlusion(5, 13)])
def test_what_training_calls_a_corruption_the_service_can_simulate(made: Corruption) -> None:
    assert made.served is not None
    assert str(served.parse(made.served)) == made.served
