"""Between a route and the queues: deadline, timing and counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request

from service import deadlines
from service.catalog import Catalog
from service.rows import Rows
from service.served import Served
from service.settings import Settings
from service.visit import Visit, visit_of

T = TypeVar("T")

# Below this, work on pixels costs less than the hop to another thread.
INLINE_PIXELS = 256 * 256


def catalog_of(request: Request) -> Catalog:
    catalog: Catalog = request.app.state.catalog
    return catalog


async def aside(work: Callable[..., T], *given: Any, pixels: int) -> T:  # noqa: ANN401
    """Does the work, in another thread where it is much: the event loop serves others then."""
    return work(*given) if pixels <= INLINE_PIXELS else await asyncio.to_thread(work, *given)


async def run_each(
    request: Request, served: Served, verb: str, rows: Rows, *, seconds: float | None = None
) -> tuple[Rows, ...]:
    """Runs the rows through the model's queue, in time, and counts them: each of its outputs.

    Raises:
        Overloaded: too much waits already.
        DeadlineExceeded: the answer did not come in time; work still queued will not run.
        ClientDisconnect: the caller left; likewise.
    """
    scope = request.scope
    visit, state = visit_of(scope), scope["app"].state
    large = served.large_pixels(verb, rows)
    if large:  # the answer is as large again, and held while the tiles run
        visit.hold(3 * large)
    if not visit.deadline:
        _begin(visit, state.settings, seconds, large)
    running = served.run_each(verb, rows, deadline=visit.deadline, progress=visit.progress)
    outputs, queue, infer, _ = run = await state.watch.over(request, visit, running)
    timing = visit.timing
    if visit.ran:  # a request may run twice: to encode, then to decode
        queue, infer = timing["queue"] + queue, timing["infer"] + infer
    timing["queue"], timing["infer"] = queue, infer
    visit.ran = time.perf_counter()
    visit.model = served.title
    state.metrics.ran(served.key, verb, len(rows), run)
    made: tuple[Rows, ...] = outputs
    return made


def _begin(visit: Visit, settings: Settings, seconds: float | None, large_pixels: int) -> None:
    """Decides when the request's answer would be of no use.

    What the caller says in X-Request-Timeout counts from the request's arrival. The settings, or
    `seconds`, count from its first run, so that a slow upload does not use them up.
    """
    if visit.whole:
        visit.timing["decode"] = time.perf_counter() - visit.whole
    allowed = seconds or settings.request_timeout
    if large_pixels and not seconds:
        allowed += settings.megapixel_timeout * large_pixels / 1e6
    deadline = time.monotonic() + allowed
    if deadlines.NAME in visit.headers:
        theirs = deadlines.patience(visit.headers)
        if visit.arrived + theirs < deadline:
            deadline, allowed = visit.arrived + theirs, theirs
    visit.deadline, visit.allowed = deadline, allowed
