"""The batcher joins, splits, isolates and forgets, whatever arrives in whatever order."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import batching
from service.backlog import Backlog
from service.batching import Batcher
from service.errors import DeadlineExceeded, Overloaded

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


@pytest.mark.anyio
async def test_what_arrives_during_a_run_forms_the_next(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    rest = [asyncio.create_task(batcher.submit(batch(i, i + 10))) for i in range(3)]
    await asyncio.sleep(0)
    recorder.gate.set()
    runs = await asyncio.gather(first, *rest)
    assert recorder.sizes == [1, 6]
    for i, run in enumerate(runs[1:]):
        np.testing.assert_array_equal(run.outputs[0], batch(i + 1, i + 11))
        np.testing.assert_array_equal(run.outputs[1], batch(2 * i, 2 * i + 20))
        assert run.queue >= 0
        assert run.infer > 0


@pytest.mark.anyio
async def test_who_arrives_during_a_run_is_in_the_next_before_more_of_a_large_request(executor):
    loop, ran, late = asyncio.get_running_loop(), list[list[int]](), list[asyncio.Task[object]]()

    def read():  # as a connection does with what it finds in its socket, in the loop's next turn
        late.append(asyncio.create_task(batcher.submit(batch(7))))

    def function(images):
        ran.append(images[:, 0].tolist())
        if ran[-1][0] == 5:
            loop.call_soon(read)
        return (images,)

    batcher = made(function, executor)
    batcher._turns.pace.best = 1e-9  # seconds a byte: its runs are made on the event loop
    await asyncio.gather(batcher.submit(batch(5)), batcher.submit(batch(*range(20, 28))))
    await late[0]
    assert ran[0][0] == 5
    assert ran[1][0] == 7
    assert sorted(pixel for images in ran for pixel in images) == [5, 7, *range(20, 28)]


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
async def test_a_large_request_is_split_and_comes_back_whole_and_in_order(executor):
    recorder = Recorder()
    run = await made(recorder, executor).submit(batch(*range(20)))
    assert recorder.sizes == [8, 8, 4]
    np.testing.assert_array_equal(run.outputs[0], batch(*range(1, 21)))


@pytest.mark.anyio
async def test_between_the_slices_of_a_run_the_event_loop_has_the_core(executor, monkeypatch):
    recorder, order = Recorder(), []
    monkeypatch.setattr(batching, "_give_way", lambda: order.append(len(recorder.sizes)))
    images = np.repeat(batch(*range(6)), 49_152, axis=1)  # so large that two are a slice
    run = await made(recorder, executor, max_batch=64).submit(images)
    assert (recorder.sizes, order) == ([2, 2, 2], [1, 2])
    np.testing.assert_array_equal(run.outputs[0], images + 1)
    np.testing.assert_array_equal(run.outputs[1], images * 2)


@pytest.mark.anyio
async def test_one_callers_fault_is_not_its_neighbours(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    tasks = [asyncio.create_task(batcher.submit(batch(v))) for v in (1, POISON, 3)]
    await asyncio.sleep(0)
    recorder.gate.set()
    await first
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert (good.outputs[0], other.outputs[0]) == (batch(2), batch(4))


@pytest.mark.anyio
async def test_a_departed_callers_work_never_runs(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    leaver = asyncio.create_task(batcher.submit(batch(1, 2, 3)))
    stayer = asyncio.create_task(batcher.submit(batch(4)))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    recorder.gate.set()
    await asyncio.gather(first, stayer)
    assert recorder.sizes == [1, 1]
    assert batcher.backlog.images == 0


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
async def test_different_shapes_are_never_joined(executor):
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    shapes = [(1, 2), (1, 2), (1, 3), (1, 2)]
    tasks = [asyncio.create_task(batcher.submit(np.ones(shape))) for shape in shapes]
    await asyncio.sleep(0)
    recorder.gate.set()
    runs = await asyncio.gather(first, *tasks)
    assert [run.outputs[0].shape for run in runs[1:]] == shapes


@pytest.mark.anyio
async def test_nobody_hangs_when_the_inference_threads_are_gone():
    executor = ThreadPoolExecutor(1)
    batcher = made(Recorder(), executor)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(batcher.submit(batch(1)), 5)


@given(
    requests=st.lists(
        st.tuples(
            st.lists(st.integers(0, 256), min_size=1, max_size=20),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=12,
    ),
    max_batch=st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_whatever_arrives_each_caller_gets_its_own_answer_or_its_own_error(requests, max_batch):
    async def one(batcher, values, delay, leaves):
        for _ in range(delay):
            await asyncio.sleep(0)
        task = asyncio.create_task(batcher.submit(batch(*values)))
        if leaves:
            await asyncio.sleep(0)
            task.cancel()
        try:
            run = await task
        except asyncio.CancelledError:
            assert leaves
        except ValueError:
            assert POISON in values
        else:
            assert POISON not in values
            np.testing.assert_array_equal(run.outputs[0], batch(*values) + 1)

    async def all_of_them():
        recorder = Recorder()
        with ThreadPoolExecutor(2) as executor:
            batcher = made(recorder, executor, max_batch=max_batch)
            callers = [one(batcher, *request) for request in requests]
            await asyncio.wait_for(asyncio.gather(*callers), 20)
            assert batcher.backlog.images == 0
        assert all(size <= max_batch for size in recorder.sizes)

    asyncio.run(all_of_them())


@pytest.mark.anyio
async def test_large_images_of_many_callers_do_not_add_up_to_one_large_run(executor, monkeypatch):
    monkeypatch.setattr("service.turns.MOST_NUMBERS", 20)
    monkeypatch.setattr("service.turns._BEST_NUMBERS", 20)  # which fit in one run
    recorder = Recorder()
    batcher = made(recorder, executor)
    first = await busy(recorder, batcher)
    large = [asyncio.create_task(batcher.submit(np.zeros((1, 9), np.int64))) for _ in range(5)]
    alone = asyncio.create_task(batcher.submit(np.zeros((2, 50), np.int64)))
    await asyncio.sleep(0.01)
    recorder.gate.set()
    await asyncio.gather(first, *large, alone)
    assert recorder.sizes == [1, 2, 2, 1, 1, 1]
    assert len((await alone).outputs[0]) == 2


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
