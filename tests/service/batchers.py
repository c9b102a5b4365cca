"""Batchers, what they run, and what they are given."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.backlog import Backlog
from service.batching import Batcher

POISON = 255


class Recorder:
    """Adds one to its batch, notes every size, and fails if poison is in it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, batch):
        assert self.gate.wait(10)
        self.sizes.append(len(batch))
        if (batch == POISON).any():
            raise ValueError("poison")
        return (batch + 1, batch * 2)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def made(
    function, executor, *, max_batch=8, max_waiting=1000, max_bytes=2**20, backlog=None
) -> Batcher:
    backlog = backlog or Backlog(max_images=max_waiting, max_bytes=max_bytes)
    return Batcher(function, executor=executor, max_batch=max_batch, backlog=backlog)


def batch(*values) -> np.ndarray:
    return np.array(values, np.int64)[:, None]


async def busy(recorder: Recorder, batcher: Batcher) -> asyncio.Task:
    """Holds the runner in a run, so that what is submitted next has to wait."""
    recorder.gate.clear()
    first = asyncio.create_task(batcher.submit(batch(0)))
    while batcher.backlog.images or not first:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    return first
