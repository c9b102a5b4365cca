"""The figures' arithmetic, on numbers small enough to check by hand."""

from __future__ import annotations

import json

import pytest

from benchmarks import report, serving
from benchmarks.summary import Figure, Target, percentile, ratio


def test_a_percentile_is_a_value_that_was_measured():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert percentile(values, 50) == 3.0
    assert percentile(values, 99) == percentile(values, 100) == 5.0
    assert percentile(values, 20) == 1.0
    assert percentile([7.0], 1) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_median_and_spread():
    figure = Figure((10.0, 30.0, 20.0))
    assert figure.median == 20.0
    assert figure.spread == 0.5


def test_one_turn_of_many_that_something_shook_says_little_of_their_spread():
    assert Figure((10.0,) * 9 + (90.0,)).spread == 0.0


def test_ratios_are_round_by_round():
    assert ratio(Figure((10.0, 40.0)), Figure((5.0, 10.0))).values == (2.0, 4.0)
    with pytest.raises(ValueError, match="longer"):
        ratio(Figure((1.0,)), Figure((1.0, 2.0)))


@pytest.mark.parametrize(
    ("value", "less", "verdict"),
    [
        (5.0, False, "aim"), (3.0, False, "must"), (2.9, False, "short"),
        (5.1, True, "short"), (4.0, True, "must"), (3.0, True, "aim"),
    ],
)  # fmt: skip
def test_a_verdict_knows_which_way_is_better(value, less, verdict):
    must, aim = (5.0, 3.0) if less else (3.0, 5.0)
    assert Target("x", must, aim, less=less).verdict(value) == verdict


def test_the_committed_page_is_that_of_the_committed_figures():
    figures = json.loads(serving.FIGURES.read_text())
    assert serving.PAGE.read_text() == report.page(figures)
    assert len(report.ratios(figures)) >= 10
