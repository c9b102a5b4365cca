"""What a service holds, again and again, and whether that grows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from tests.server import Server, descriptors, resident, threads


@dataclass(frozen=True)
class Sample:
    """What all workers together hold, `seconds` after the start."""

    seconds: float
    memory: int
    descriptors: int
    threads: int


def sample(server: Server, started: float) -> Sample:
    """What the service's workers hold now."""
    pids = server.workers
    return Sample(
        time.monotonic() - started,
        sum(map(resident, pids)),
        sum(map(descriptors, pids)),
        sum(map(threads, pids)),
    )


def slope(samples: list[Sample], what: str) -> float:
    """By how much it grows in an hour: the median of all pairs' slopes (Theil 1950, Sen 1968).

    A jump near either end, such as a buffer that is allocated once, is no slope.
    """
    x = np.array([sample.seconds for sample in samples])
    y = np.array([getattr(sample, what) for sample in samples], float)
    i, j = np.triu_indices(len(samples), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i]))) * 3600
