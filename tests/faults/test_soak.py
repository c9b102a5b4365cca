"""Hours, not seconds: `make soak SECONDS=1800`."""

from __future__ import annotations

import os
import time

import pytest

from tests.faults.growth import sample, slope
from tests.faults.load import Load
from tests.server import serving

SECONDS = float(os.environ.get("SECONDS", "1800"))
WARM_UP = SECONDS / 4
EVERY = 5.0

pytestmark = pytest.mark.soak


def test_under_crashing_callers_nothing_grows_and_nothing_fails(models):
    with serving(models, workers=2, log_level="warning") as server:
        # What a process keeps for itself it has after some ten thousand requests: in a hurry first,
        # or a slow machine would be warming up until the end.
        with Load(server.url, callers=6, vanish=0.1, timeout=60) as hurry:
            time.sleep(WARM_UP)
        started, samples, unready = time.monotonic(), [], 0
        with Load(server.url, callers=6, rate=30, vanish=0.1, timeout=60) as load:
            while time.monotonic() - started < SECONDS - WARM_UP:
                time.sleep(EVERY)
                unready += not server.ready()
                samples.append(sample(server, started))
        growth = {what: slope(samples, what) for what in ("memory", "descriptors", "threads")}
        print(
            f"first {hurry}; then {load}; {len(samples)} looks, {unready} not ready; memory "
            f"{samples[0].memory / 2**20:.1f} to {samples[-1].memory / 2**20:.1f} MiB; an hour's growth: "
            f"{growth['memory'] / 2**20:.3f} MiB, {growth['descriptors']:.2f} descriptors, "
            f"{growth['threads']:.2f} threads; {server.log[-1000:]}"
        )
        for callers in (hurry, load):
            assert not callers.wrong, callers
            assert not callers.failed, callers
            assert not callers.refused, callers
        assert growth["memory"] < 2**20
        assert growth["descriptors"] < 1
        assert growth["threads"] < 1
