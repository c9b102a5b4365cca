"""Who waits for an answer is watched over once that takes long, and nothing is left behind."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from fastapi import Request

from service.budget import Budget
from service.errors import DeadlineExceeded, TooLarge
from service.routes import watching
from service.routes.watching import Watch
from service.visit import Visit

pytestmark = pytest.mark.anyio


def asked(*, seconds: float = math.inf, leaves: float = math.inf) -> tuple[Request, Visit]:
    """A request whose deadline and whose caller's patience end after so many seconds."""
    visit = Visit({}, Budget(1, 1))
    visit.deadline, visit.allowed = time.monotonic() + seconds, seconds

    async def receive() -> dict:
        await asyncio.sleep(leaves)
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive), visit


def quiet(watch: Watch) -> bool:
    return not (watch._unseen or watch._seen or watch._watched)


async def test_an_answer_in_time_is_given_and_the_timer_rests_soon():
    watch = Watch()
    assert await watch.over(*asked(), asyncio.sleep(0, "made")) == "made"
    assert quiet(watch)
    await asyncio.sleep(3 * watching._INTERVAL)
    assert watch._timer is None
    assert await watch.over(*asked(), asyncio.sleep(4 * watching._INTERVAL, "made")) == "made"
    assert quiet(watch), "though it was long enough to be watched over"


@pytest.mark.parametrize("seconds", [0.01, 0.15])
async def test_a_deadline_is_kept_however_near_it_is(seconds):
    watch, began = Watch(), time.monotonic()
    with pytest.raises(DeadlineExceeded, match=f"within {seconds} s"):
        await watch.over(*asked(seconds=seconds), asyncio.sleep(30))
    assert seconds <= time.monotonic() - began < seconds + 5
    assert quiet(watch)


async def test_what_is_made_for_a_caller_that_leaves_is_cancelled():
    watch, work = Watch(), asyncio.get_running_loop().create_future()
    with pytest.raises(watching.ClientDisconnect):
        await watch.over(*asked(leaves=0.2), work)
    assert work.cancelled()
    assert asyncio.current_task().cancelling() == 0, "the answer's task goes on"
    assert quiet(watch)


async def test_a_body_that_is_too_much_ends_it_with_its_own_error():
    _, visit = asked()

    async def receive() -> dict:
        raise TooLarge("too much")

    with pytest.raises(TooLarge):
        await Watch().over(Request({"type": "http"}, receive), visit, asyncio.sleep(30))


async def test_who_cancels_it_from_elsewhere_cancels_it():
    watch = Watch()
    task = asyncio.create_task(watch.over(*asked(), asyncio.sleep(30)))
    await asyncio.sleep(3 * watching._INTERVAL)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert quiet(watch)
