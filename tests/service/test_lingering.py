"""After an answer the event loop looks at its sockets for a moment, and then sleeps as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service import lingering
from service.lingering import Lingering

pytestmark = pytest.mark.anyio


@pytest.fixture
def looks(monkeypatch) -> Callable[[], int]:
    """How often it has looked so far."""
    seen = []
    yielding = lingering.os.sched_yield
    monkeypatch.setattr(lingering.os, "sched_yield", lambda: (seen.append(1), yielding()))
    return lambda: len(seen)


async def test_it_looks_again_and_again_for_so_long_and_no_longer(looks):
    Lingering(0.05).begin(asyncio.get_running_loop())
    await asyncio.sleep(0.2)
    seen = looks()
    assert seen > 2, "and each time others may have had the core"
    await asyncio.sleep(0.1)
    assert looks() == seen


async def test_it_ends_with_the_next_request_and_begins_after_its_answer(looks):
    awake, loop = Lingering(60.0), asyncio.get_running_loop()
    for _ in range(2):
        before = looks()
        awake.begin(loop)
        await asyncio.sleep(0.02)
        assert looks() > before
        awake.end()
        await asyncio.sleep(0.01)
        ended = looks()
        await asyncio.sleep(0.02)
        assert looks() == ended


async def test_who_begins_twice_looks_once_a_turn(looks):
    awake, loop = Lingering(60.0), asyncio.get_running_loop()
    awake.begin(loop)
    awake.begin(loop)
    for turn in range(5):
        assert looks() == turn
        await asyncio.sleep(0)
    awake.end()


async def test_without_a_time_it_does_nothing(looks):
    Lingering(0.0).begin(asyncio.get_running_loop())
    await asyncio.sleep(0.01)
    assert looks() == 0
