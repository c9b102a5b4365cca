"""Requests that nobody would send on purpose, and some that somebody would."""

from __future__ import annotations

import pytest

from tests.faults.fuzz import Fuzzer, run


def test_a_thousand_hostile_requests_get_neither_a_500_nor_a_hang(tmp_path):
    report = run(requests=1000, seed=1, models=tmp_path)
    assert not report.faults, "\n".join([str(report), *report.faults[:5]])
    assert report.statuses[200] > 50, "some were right, too"
    assert report.statuses[400] > 50


def test_a_request_is_made_again_from_its_number():
    assert Fuzzer(3).make(77) == Fuzzer(3).make(77) != Fuzzer(4).make(77)


@pytest.mark.slow
def test_a_hundred_thousand_hostile_requests_get_neither_a_500_nor_a_hang(tmp_path):
    report = run(requests=100_000, seed=0, models=tmp_path)
    print(report)
    assert not report.faults, "\n".join([str(report), *report.faults[:5]])
