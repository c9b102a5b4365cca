"""How long a byte takes: what was never tried is tried, and one slow run is no rule."""

from __future__ import annotations

import pytest

from service.pace import Pace


def learn(pace, count, seconds):
    """256 images of 784 bytes took so many seconds an image, `count` at a time."""
    pace.learn(count, 784, 256 * seconds, ran=256)


def test_each_size_is_tried_twice_and_then_the_fastest_is_taken():
    pace = Pace()
    sizes = [64, 128, 256]
    for size, seconds in ((64, 3e-6), (128, 2e-6), (256, 4e-6)):
        assert pace.fastest(sizes, 784) == size
        learn(pace, size, 1.0)  # its memory is new
        assert pace.fastest(sizes, 784) == size
        learn(pace, size, seconds)
    assert pace.fastest(sizes, 784) == 128
    assert pace.fastest([64], 784) == 64
    assert pace.best == pytest.approx(2e-6 / 784, rel=0.05)


def test_one_slow_run_is_no_rule_and_many_are():
    pace = Pace()
    for _ in range(2):
        learn(pace, 64, 3e-6)
        learn(pace, 128, 2e-6)
    learn(pace, 128, 1.0)
    assert pace.fastest([64, 128], 784) == 128
    for _ in range(40):
        learn(pace, 128, 1.0)
    assert pace.fastest([64, 128], 784) == 64


def test_a_size_that_was_slow_once_is_tried_again_and_a_slow_one_seldom():
    pace = Pace()
    truth, tries = {64: 2e-6, 128: 1e-6, 256: 4e-6}, []
    for _ in range(2):
        learn(pace, 128, 5e-6)
    for _ in range(1000):
        tries.append(pace.fastest(truth, 784))
        learn(pace, tries[-1], truth[tries[-1]])
    assert tries[200:].count(128) > 770, "the fastest nearly always"
    assert {64, 256} <= set(tries[200:]), "and the others now and then"


def test_a_run_of_fewer_says_nothing_of_a_slice():
    pace = Pace()
    pace.learn(128, 784, 1.0, ran=3)
    assert pace.best == pytest.approx(1 / (3 * 784))
    learn(pace, 64, 1e-6)
    learn(pace, 64, 1e-6)
    assert pace.fastest([64, 128], 784) == 128, "it was never tried"


def test_images_of_any_sizes_take_a_bounded_memory():
    pace = Pace()
    for size in range(1, 5000):
        pace.learn(1, size, 1e-6, ran=1)
    assert len(pace._of) < 20
