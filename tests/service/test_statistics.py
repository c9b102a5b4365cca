"""Every queue knows what it did: requests, images, runs by size, and where the time went."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import Overloaded
from tests.service.batchers import POISON, Recorder, batch, busy, executor, made

__all__ = ["executor"]

pytestmark = pytest.mark.anyio


async def test_requests_images_and_runs_are_counted_each_by_itself(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    rest = [asyncio.create_task(batcher.submit(batch(i, i))) for i in range(3)]
    await asyncio.sleep(0)
    recorder.gate.set()
    await asyncio.gather(first, *rest)
    statistics = batcher.statistics
    assert statistics.success.count == statistics.queue.count == statistics.infer.count == 4
    assert statistics.images == 7
    assert {size: runs.infer.count for size, runs in statistics.runs.items()} == {1: 1, 6: 1}
    assert statistics.success.seconds >= statistics.queue.seconds > 0
    assert statistics.fail.count == 0
    assert statistics.last > 1.7e9


async def test_a_request_that_was_split_is_one_request_and_several_runs(executor):
    batcher = made(Recorder(), executor)
    await batcher.submit(batch(*range(20)))
    assert (batcher.statistics.success.count, batcher.statistics.images) == (1, 20)
    assert {size: runs.infer.count for size, runs in batcher.statistics.runs.items()} == {
        8: 2,
        4: 1,
    }


async def test_faults_departures_and_refusals_are_failures(executor):
    recorder = Recorder()
    batcher = made(recorder, executor, max_waiting=2)
    with pytest.raises(ValueError, match="poison"):
        await batcher.submit(batch(POISON))
    first = await busy(recorder, batcher)
    leaver = asyncio.create_task(batcher.submit(batch(1, 2)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.submit(batch(3))
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    recorder.gate.set()
    await first
    assert (batcher.statistics.fail.count, batcher.statistics.success.count) == (3, 1)
    assert batcher.statistics.images == 1, "only what was answered counts"
