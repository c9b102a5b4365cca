"""What waits is bounded, is dropped when it is of no use, and is known by the time it takes."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.backlog import Backlog
from service.batching import Batcher
from service.errors import DeadlineExceeded, Overloaded
from tests.service.batchers import Recorder, batch, busy, executor, made

__all__ = ["executor"]


@pytest.mark.anyio
async def test_to_wait_for_another_models_run_is_to_be_queued_and_is_not_learned_as_a_run():
    held = threading.Event()

    def slow(images):
        assert held.wait(10)
        return (images,)

    with ThreadPoolExecutor(1) as executor:
        backlog = Backlog(max_images=10_000, max_bytes=2**20)
        others = made(slow, executor)
        batcher = Batcher(
            lambda images: (images,),
            executor=executor,
            max_batch=8,
            backlog=backlog,
            in_place=False,
        )
        other = asyncio.create_task(others.submit(batch(0)))
        await asyncio.sleep(0.05)
        first = asyncio.create_task(batcher.submit(batch(1)))
        await asyncio.sleep(0.5)
        held.set()
        run = await first
        await other
        # Ten seconds from now nobody would be too late: half a second was no image's time.
        deadline = time.monotonic() + 10
        many = [batcher.submit(batch(*range(100)), deadline=deadline) for _ in range(5)]
        runs = await asyncio.gather(*many)
    assert run.queue > 0.4
    assert run.infer < 0.2
    assert sum(len(made.outputs[0]) for made in runs) == 500


@pytest.mark.anyio
async def test_what_the_first_run_took_is_no_rule_where_the_model_is_known(executor):
    def hangs_once(images):
        if not ran:
            time.sleep(0.5)
        ran.append(len(images))
        return (images,)

    ran = list[int]()
    backlog = Backlog(max_images=10_000, max_bytes=2**20)
    batcher = Batcher(
        hangs_once, executor=executor, max_batch=8, backlog=backlog, seconds_per_byte=1e-6
    )
    await batcher.submit(batch(1))
    many = [batcher.submit(batch(*range(100)), deadline=time.monotonic() + 10) for _ in range(5)]
    assert sum(len(run.outputs[0]) for run in await asyncio.gather(*many)) == 500


@pytest.mark.anyio
async def test_a_full_queue_refuses_and_says_when_to_come_back(executor):
    recorder = Recorder()
    batcher = made(recorder, executor, max_waiting=4)
    first = await busy(recorder, batcher)
    waiter = asyncio.create_task(batcher.submit(batch(1, 2, 3)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refusal:
        await batcher.submit(batch(4, 5))
    assert int(refusal.value.headers["Retry-After"]) >= 1
    assert refusal.value.extra["retry_after_ms"] >= 1
    recorder.gate.set()
    await asyncio.gather(first, waiter)
    assert (await batcher.submit(batch(4, 5))).outputs[0].tolist() == [[5], [6]]


@pytest.mark.anyio
async def test_bytes_are_bounded_like_images(executor):
    recorder = Recorder()
    batcher = made(recorder, executor, max_bytes=100)
    first = await busy(recorder, batcher)
    large = asyncio.create_task(batcher.submit(batch(*range(20))))  # 160 bytes: nothing waits yet
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refusal:
        await batcher.submit(batch(1))
    assert refusal.value.reason == "queue_bytes"
    recorder.gate.set()
    await asyncio.gather(first, large)
    assert (batcher.backlog.images, batcher.backlog.bytes) == (0, 0)


@pytest.mark.anyio
async def test_the_bound_is_one_for_all_queues_of_a_model(executor):
    backlog = Backlog(max_images=4, max_bytes=1000)
    recorder = Recorder()
    one, other = (made(recorder, executor, backlog=backlog) for _ in range(2))
    first = await busy(recorder, one)
    waiter = asyncio.create_task(one.submit(batch(1, 2, 3, 4)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await other.submit(batch(5))
    recorder.gate.set()
    await asyncio.gather(first, waiter)


@pytest.mark.anyio
async def test_what_is_queued_at_its_deadline_never_runs(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    late = asyncio.create_task(batcher.submit(batch(1, 2), deadline=time.monotonic() + 0.02))
    patient = asyncio.create_task(batcher.submit(batch(3)))
    await asyncio.sleep(0.05)
    recorder.gate.set()
    with pytest.raises(DeadlineExceeded):
        await late
    await asyncio.gather(first, patient)
    assert recorder.sizes == [1, 1]
    assert (batcher.statistics.expired, batcher.statistics.departed) == (2, 0)


@pytest.mark.anyio
async def test_departed_images_are_counted_and_are_not_expired(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    leaver = asyncio.create_task(batcher.submit(batch(1, 2, 3)))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    recorder.gate.set()
    await first
    assert (batcher.statistics.expired, batcher.statistics.departed) == (0, 3)


@pytest.mark.anyio
async def test_what_would_be_answered_too_late_is_refused_at_once_and_told_when(executor):
    backlog = Backlog(max_images=1000, max_bytes=1000)
    batcher = made(Recorder(), executor, backlog=backlog)
    backlog.add(10, 80, 2.0)  # as if so much waited
    with pytest.raises(Overloaded) as refusal:
        await batcher.submit(batch(1), deadline=time.monotonic() + 1)
    assert refusal.value.reason == "late"
    assert refusal.value.headers["Retry-After"] == "2", "1.5 s, and HTTP has whole seconds"
    assert 1450 <= refusal.value.extra["retry_after_ms"] <= 1600
    assert (await batcher.submit(batch(1), deadline=time.monotonic() + 9)).outputs[0] == batch(2)


@pytest.mark.anyio
async def test_the_backlog_knows_how_long_its_work_will_take(executor):
    recorder = Recorder()
    backlog = Backlog(max_images=1000, max_bytes=2**20)

    def slow(inputs):
        time.sleep(0.005 * len(inputs))
        return recorder(inputs)

    batcher = made(slow, executor, backlog=backlog, max_batch=4)
    await batcher.submit(batch(1, 2, 3, 4))
    first = await busy(recorder, batcher)
    waiter = asyncio.create_task(batcher.submit(batch(*range(40))))
    await asyncio.sleep(0)
    assert 0.15 < backlog.seconds < 1, "40 images of 5 ms"
    recorder.gate.set()
    await asyncio.gather(first, waiter)
    assert backlog.seconds == pytest.approx(0, abs=1e-9)
