"""Whose turn it is: every image once, in order, and neither sort of request waits for the other."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.backlog import Backlog
from service.batching import Batcher
from service.lull import Lull
from service.statistics import Statistics
from service.turns import Job, Turns

FOREVER = math.inf


class FixedLull(Lull):
    """A lull that holds, or does not, whoever comes."""

    def __init__(self, *, holds: bool) -> None:
        super().__init__()
        self._holds = holds

    def holds(self) -> bool:
        return self._holds


def turns(max_batch: int, *, in_place: bool, calm: bool = False) -> Turns:
    backlog = Backlog(max_images=10**9, max_bytes=10**12)
    return Turns(
        max_batch=max_batch,
        backlog=backlog,
        statistics=Statistics(),
        in_place=in_place,
        lull=FixedLull(holds=calm),
    )


@given(
    arrivals=st.lists(
        st.tuples(
            st.lists(st.integers(1, 60), max_size=5),  # the sizes that come before a run
            st.lists(st.integers(0, 20), max_size=2),  # which of those that wait leave
            st.floats(0, 1),  # how much of a large run alone is done when others come
        ),
        max_size=12,
    ),
    max_batch=st.integers(1, 32),
    best=st.integers(1, 32),
    in_place=st.booleans(),
    calm=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_every_image_runs_once_in_order_and_neither_sort_waits_for_the_other(
    arrivals, max_batch, best, in_place, calm
):
    with mock.patch("service.turns._BEST_NUMBERS", best):
        check(arrivals, max_batch, in_place=in_place, calm=calm)


def check(arrivals, max_batch, *, in_place, calm):
    loop = asyncio.new_event_loop()
    queue = turns(max_batch, in_place=in_place, calm=calm)
    if in_place:
        queue.pace.best = 1e-6  # seconds a byte: a run of 32 is over at once
    jobs: list[Job] = []
    little: set[int] = set()  # which of them are small requests
    ran: dict[int, list[int]] = {}
    left: set[int] = set()
    since = 0.0

    def run(share: float) -> bool:
        waiting = [i for i, job in enumerate(jobs) if job.left and i not in left]
        small = set(waiting) & little
        following = queue.next()
        if following is None:
            assert not waiting
            return False
        parts = following.parts
        places = [jobs.index(part.job) for part in parts]
        count = sum(len(part.images) for part in parts)
        assert count <= max_batch
        assert not set(places) & left, "nobody waits for it"
        for sort in (small, set(waiting) - small):
            taken = [place for place in places if place in sort]
            assert taken == sorted(sort)[: len(taken)], "in the order in which they came"
        if small and set(waiting) - small and following.slice > 1:
            assert small & set(places), "a small one waits for the large ones"
            assert set(places) - small, "a large one waits for the small ones"
        if count > following.slice:
            assert not small, "they wait for more than a slice"
            done = max(following.slice, int(share * count))
            queue.put_back(*parts[0], done)
            ran[places[0]] += parts[0].images[:done, 0].tolist()
        else:
            for place, part in zip(places, parts, strict=True):
                ran[place] += part.images[:, 0].tolist()
        return True

    try:
        for sizes, leavers, share in arrivals:
            for size in sizes:
                since += 1
                rows = np.arange(size, dtype=np.uint8)[:, None]
                job = Job(rows, loop.create_future(), FOREVER, 0.0, since)
                ran[len(jobs)] = []
                jobs.append(job)
                queue.add(job)
                if job in queue._small:
                    little.add(len(jobs) - 1)
            for leaver in leavers:
                if leaver < len(jobs) and jobs[leaver].left:
                    queue.drop(jobs[leaver])
                    left.add(leaver)
            run(share)
        while run(1.0):
            pass
    finally:
        loop.close()
    assert (queue.backlog.images, queue.backlog.bytes) == (0, 0)
    for i, job in enumerate(jobs):
        expected = list(range(len(job.batch)))
        assert ran[i] == (expected[: len(ran[i])] if i in left else expected)


@pytest.mark.anyio
async def test_beside_one_small_request_a_large_one_has_its_half_of_a_short_run_and_no_more():
    queue = turns(64, in_place=False)
    loop = asyncio.get_running_loop()
    for count, since in ((200, 1.0), (1, 2.0)):
        rows = np.zeros((count, 784), np.uint8)
        queue.add(Job(rows, loop.create_future(), FOREVER, 0.0, since))
    assert [len(part.images) for part in queue.next().parts] == [1, 16]
    for since in range(3, 43):
        rows = np.zeros((1, 784), np.uint8)
        queue.add(Job(rows, loop.create_future(), FOREVER, 0.0, float(since)))
    assert [len(part.images) for part in queue.next().parts] == [1] * 16 + [16]


@pytest.mark.anyio
async def test_a_flooded_model_takes_one_thread_and_another_model_is_answered_meanwhile():
    held, begun = threading.Event(), threading.Event()

    def slow(batch):
        begun.set()
        assert held.wait(20)
        return (batch,)

    def batcher(function, executor):
        backlog = Backlog(max_images=10**6, max_bytes=10**9)
        return Batcher(function, executor=executor, max_batch=8, backlog=backlog, in_place=False)

    with ThreadPoolExecutor(2) as executor:
        flooded = batcher(slow, executor)
        other = batcher(lambda batch: (batch + 1,), executor)
        rows = np.zeros((5, 1))
        flood = [asyncio.create_task(flooded.submit(rows)) for _ in range(50)]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.wait_for(other.submit(rows), 10)
        assert not any(task.done() for task in flood)
        held.set()
        await asyncio.gather(*flood)


@pytest.mark.anyio
@pytest.mark.parametrize("in_place_seconds", [0.0, 1.0], ids=["in a thread", "in place"])
@pytest.mark.parametrize("width", [1, 2], ids=["joined", "of another size"])
async def test_a_small_request_waits_for_a_slice_of_a_large_one_and_not_for_all_of_it(
    monkeypatch, width, in_place_seconds
):
    monkeypatch.setattr("service.turns._BEST_NUMBERS", 8)
    monkeypatch.setattr("service.turns._CORES", 1)
    monkeypatch.setattr("service.turns._IN_PLACE_SECONDS", in_place_seconds)
    sizes = []

    def slow(batch):
        sizes.append(len(batch))
        time.sleep(0.02)
        return (batch,)

    backlog = Backlog(max_images=10**6, max_bytes=10**9)
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(slow, executor=executor, max_batch=256, backlog=backlog)
        large = asyncio.create_task(batcher.submit(np.arange(400)[:, None]))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await batcher.submit(np.zeros((1, width), int))
        waited = time.monotonic() - started
        assert not large.done()
        run = await large
    np.testing.assert_array_equal(run.outputs[0], np.arange(400)[:, None])
    assert max(sizes) == 8
    assert waited < 0.5, "and the whole would have taken a second"
    assert sum(sizes) == 401


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("calm", "slices"),
    [(True, [8, 8, 16, 16, 32, 32, 4, 4, 16, 16]), (False, [8] * 8)],
    ids=["nobody else comes", "small requests come"],
)
async def test_a_large_request_runs_in_the_slices_that_the_network_runs_best_with(
    monkeypatch, calm, slices
):
    monkeypatch.setattr("service.turns._BEST_NUMBERS", 8)
    monkeypatch.setattr("service.turns._TURN_SECONDS", 0.0)
    queue = turns(256, in_place=False, calm=calm)
    seconds = {4: 5e-5, 8: 3e-5, 16: 2e-5, 32: 4e-5}  # an image
    monkeypatch.setattr("service.turns._CALM_TURN_SECONDS", 32 * 2.5e-5)  # so that 64 are too many
    found = []
    for _ in slices:
        job = Job(np.zeros((64, 1), np.uint8), asyncio.Future(), FOREVER, 0.0, 0.0)
        queue.add(job)
        following = queue.next()
        assert len(following.parts[0].images) == 64
        found.append(following.slice)
        queue.pace.ran(64, 1, 64 * seconds[following.slice])
        queue.pace.took(following.slice, 1, 64 * seconds[following.slice], images=64)
    assert found == slices


@pytest.mark.anyio
async def test_a_small_request_ends_the_lull_for_every_model_that_shares_the_processor():
    lull = Lull()
    with ThreadPoolExecutor(1) as executor:
        one, other = (
            Batcher(
                lambda batch: (batch,),
                executor=executor,
                max_batch=256,
                backlog=Backlog(max_images=10**6, max_bytes=10**9),
                lull=lull,
            )
            for _ in range(2)
        )
        await one.submit(np.zeros((200, 28, 28, 1), np.uint8))
        assert lull.holds(), "it was large"
        await other.submit(np.zeros((1, 28, 28, 1), np.uint8))
        assert not lull.holds()
        lull.last -= 1
        assert lull.holds(), "it is over after a while"
