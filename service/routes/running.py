"""Between a route and the queues: deadline, timing and counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from service import deadlines
from service.catalog import Catalog
from service.errors import DeadlineExceeded, RequestError
from service.metrics import Metrics
from service.rows import Rows
from service.served import Batched, Served
from service.settings import Settings
from service.turns import Run
from service.visit import Visit, visit_of

T = TypeVar("T")

# Below this, work on pixels costs less than the hop to another thread.
INLINE_PIXELS = 256 * 256

_WATCH_AFTER = 0.05  # seconds


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
    visit, state = visit_of(request.scope), request.app.state
    large = served.large_pixels(verb, rows)
    if large:  # the answer is as large again, and held while the tiles run
        visit.share.take(3 * large)
    if not visit.deadline:
        _begin(visit, state.settings, seconds, large)
    running = served.run_each(verb, rows, deadline=visit.deadline, progress=visit.progress)
    batched = await _in_time(request, visit, running)
    _count(visit, state.metrics, served, verb, len(rows), batched)
    return batched.outputs


def _begin(visit: Visit, settings: Settings, seconds: float | None, large_pixels: int) -> None:
    """Decides when the request's answer would be of no use.

    What the caller says in X-Request-Timeout counts from the request's arrival. The settings, or
    `seconds`, count from its first run, so that a slow upload does not use them up.
    """
    if visit.whole:
        visit.timing["decode"] = time.perf_counter() - visit.whole
    ours = seconds or settings.request_timeout + settings.megapixel_timeout * large_pixels / 1e6
    theirs = deadlines.patience(visit.headers)
    visit.deadline, visit.allowed = min(
        (time.monotonic() + ours, ours), (visit.arrived + theirs, theirs)
    )


async def _in_time(request: Request, visit: Visit, answer: Awaitable[T]) -> T:
    """The answer, unless its deadline comes or its caller leaves first.

    What it still has in a queue is dropped then. Nearly every answer is there before anybody
    could have left, so the watch, which takes a task of its own, begins only after a while.
    """
    task = asyncio.current_task()
    assert task is not None
    loop = task.get_loop()  # to ask for the running one is a call of the system
    reason: Exception | None = None
    watching: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal reason
        try:
            async with asyncio.timeout(visit.deadline - time.monotonic()):
                while (await request.receive())["type"] != "http.disconnect":
                    pass  # a body that the route did not ask for
            reason = ClientDisconnect()
        except TimeoutError:
            reason = _too_late(visit)
        except RequestError as error:  # a body that nobody reads may be more than is taken
            reason = error
        task.cancel()

    def begin() -> None:
        nonlocal watching
        watching = loop.create_task(watch())

    timer = loop.call_later(min(_WATCH_AFTER, visit.deadline - time.monotonic()), begin)
    try:
        return await answer
    except DeadlineExceeded:  # it passed in the queue
        raise _too_late(visit) from None
    except asyncio.CancelledError:
        if reason is None:
            raise
        task.uncancel()
        raise reason from None
    finally:
        timer.cancel()
        if watching:
            watching.cancel()


def _too_late(visit: Visit) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"no answer within {visit.allowed:g} s: send fewer or smaller images, allow more time "
        f"({deadlines.HEADER}), or try again later"
    )


def _count(
    visit: Visit, metrics: Metrics, served: Served, verb: str, images: int, run: Run | Batched
) -> None:
    card, timing = served.manifest, visit.timing
    visit.ran = time.perf_counter()
    visit.model = card.key
    # A request may run twice: to encode, then to decode.
    timing["queue"] = timing.get("queue", 0.0) + run.queue
    timing["infer"] = timing.get("infer", 0.0) + run.infer
    metrics.ran(card.name, card.version, verb, images=images, run=run)
