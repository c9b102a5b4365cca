"""The batcher joins, splits, isolates and forgets, whatever arrives in whatever order."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import batching
from tests.service.batchers import POISON, Recorder, batch, busy, executor, made

__all__ = ["executor"]


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
