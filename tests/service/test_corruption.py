from __future__ import annotations

import numpy as np
import pytest

from service import corruption
from service.errors import Unprocessable


def test_gaussian_noise_has_the_standard_deviation_it_says():
    grey = np.full((4, 100, 100, 1), 128, np.uint8)
    noisy = corruption.parse("gaussian:0.1")(grey, np.random.default_rng(0))
    assert noisy.dtype == np.uint8
    assert (noisy / 255).std() == pytest.approx(0.1, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.5)


def test_an_occlusion_blackens_one_square_in_each_image():
    white = np.full((50, 20, 30, 3), 255, np.uint8)
    occluded = corruption.parse("occlusion:8")(white, np.random.default_rng(0))
    assert ((occluded == 0).sum((1, 2, 3)) == 8 * 8 * 3).all()
    assert len({image.tobytes() for image in occluded}) > 40
    assert (white == 255).all()


def test_an_occlusion_larger_than_the_image_blackens_it():
    white = np.full((1, 5, 6, 1), 255, np.uint8)
    assert not corruption.parse("occlusion:9")(white, np.random.default_rng(0)).any()


def test_the_same_seed_gives_the_same_noise():
    grey = np.full((2, 9, 9, 1), 128, np.uint8)
    noise = corruption.parse("gaussian:0.2")
    first, again, other = (noise(grey, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("text", ["gaussian:0.2", "occlusion:8", "gaussian:0"])
def test_what_is_read_is_written_the_same(text):
    assert str(corruption.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "gaussian", "gaussian:", "gaussian:-1", "gaussian:nan", "gaussian:inf", "gaussian:2",
     "occlusion:0", "occlusion:1.5", "occlusion:99999", "salt:0.1", "gaussian:0.1:2"],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example_that_works(text):
    with pytest.raises(Unprocessable, match=r"gaussian:0\.2"):
        corruption.parse(text)
