"""How long a byte takes: what was never tried is tried, and one slow run is no rule."""

from __future__ import annotations

import pytest

from service.pace import Pace


def learn(pace, count, seconds):
    """256 images of 784 bytes took so many seconds an image, `count` at a time."""
    pace.took(count, 784, 256 * seconds, images=256)


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


def test_the_best_is_what_the_function_took_alone_and_rises_slowly():
    pace = Pace()
    pace.ran(256, 784, 256 * 2e-6)
    assert pace.best == pytest.approx(2e-6 / 784)
    pace.ran(256, 784, 1.0)
    assert pace.best == pytest.approx(2e-6 / 784, rel=0.05)
    pace.ran(3, 784, 3 * 1e-6)
    assert pace.best == pytest.approx(1e-6 / 784)


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
    for _ in range(4000):
        tries.append(pace.fastest(truth, 784))
        learn(pace, tries[-1], truth[tries[-1]])
    assert 80 < tries.index(128) < 120, "slow but once is not slow for long"
    assert tries[400:].count(128) > 3580, "and the more so the longer it runs"
    assert {64, 256} <= set(tries[400:]), "but the others now and then"


def test_what_becomes_the_fastest_is_found():
    pace, times = Pace(), []
    truth = {64: 2e-6, 128: 1e-6}
    for run in range(4000):
        if run == 2000:  # another process has most of the cache now
            truth = {64: 2e-6, 128: 3e-6}
        times.append(pace.fastest(truth, 784))
        learn(pace, times[-1], truth[times[-1]])
    assert times[:2000].count(128) > 1980
    assert times[2000:].count(64) > 1900


def test_a_run_of_fewer_says_nothing_of_a_slice():
    pace = Pace()
    pace.took(128, 784, 1.0, images=3)
    learn(pace, 64, 1e-6)
    learn(pace, 64, 1e-6)
    assert pace.fastest([64, 128], 784) == 128, "it was never tried"


def test_images_of_any_sizes_take_a_bounded_memory():
    pace = Pace()
    for size in range(1, 5000):
        pace.took(1, size, 1e-6, images=1)
    assert len(pace._of) < 20
