"""Between a route and the queues: deadline, timing and counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Request
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from service import deadlines
from service.batching import Run
from service.catalog import Catalog
from service.errors import DeadlineExceeded
from service.served import Batched, Served

Array = NDArray[Any]
T = TypeVar("T")

# Below this, work on pixels costs less than the hop to another thread.
_INLINE_PIXELS = 256 * 256


def catalog_of(request: Request) -> Catalog:
    catalog: Catalog = request.app.state.catalog
    return catalog


async def aside(work: Callable[[], T], *, pixels: int) -> T:
    """Does the work, in another thread where it is much: the event loop serves others then."""
    return work() if pixels <= _INLINE_PIXELS else await asyncio.to_thread(work)


async def run_each(
    request: Request,
    served: Served,
    verb: str,
    items: Sequence[Array],
    *,
    seconds: float | None = None,
) -> list[tuple[Array, ...]]:
    """Runs the items through the model's queue, in time, and counts them.

    Raises:
        Overloaded: too much waits already.
        DeadlineExceeded: the answer did not come in time; work still queued will not run.
    """
    deadline = _deadline(request, seconds)
    batched = await _in_time(request, served.run_each(verb, items, deadline=deadline))
    _count(request, served, verb, len(items), batched)
    return batched.outputs


async def run_batch(
    request: Request, served: Served, verb: str, batch: Array, *, seconds: float | None = None
) -> tuple[Array, ...]:
    """The same for one batch `[B,...]`; its outputs come as batches."""
    deadline = _deadline(request, seconds)
    run = await _in_time(request, served.run(verb, batch, deadline=deadline))
    _count(request, served, verb, len(batch), run)
    return run.outputs


def _deadline(request: Request, seconds: float | None) -> float:
    """When the request's answer would be of no use, of `time.monotonic`.

    What the caller says in X-Request-Timeout counts from the request's arrival. The setting, or
    `seconds`, counts from its first run, so that a slow upload does not use it up.
    """
    state = request.state
    if not hasattr(state, "deadline"):
        ours = seconds or request.app.state.settings.request_timeout
        theirs = deadlines.patience(request.headers)
        state.deadline, state.allowed = min(
            (time.monotonic() + ours, ours), (state.arrived + theirs, theirs)
        )
    deadline: float = state.deadline
    return deadline


async def _in_time(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(request.state.deadline - time.monotonic()):
            return await _while_connected(request, answer)
    except (TimeoutError, DeadlineExceeded):
        raise DeadlineExceeded(
            f"no answer within {request.state.allowed:g} s: send fewer images, allow more time "
            f"({deadlines.HEADER}), or try again later"
        ) from None


async def _while_connected(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """The answer, unless the caller leaves first: what it still has in a queue is dropped then.

    Raises:
        ClientDisconnect: it left.
    """

    async def departure() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass  # a body that the route did not ask for

    work, left = asyncio.ensure_future(answer), asyncio.ensure_future(departure())
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        left.cancel()


def _count(request: Request, served: Served, verb: str, images: int, run: Run | Batched) -> None:
    metrics, card = request.app.state.metrics, served.manifest
    timing = request.state.timing  # a request may run twice: to encode, then to decode
    timing["queue"] = timing.get("queue", 0.0) + run.queue
    timing["infer"] = timing.get("infer", 0.0) + run.infer
    metrics.queue_seconds.labels(card.name).observe(run.queue)
    metrics.infer_seconds.labels(card.name).observe(run.infer)
    metrics.batch_images.labels(card.name).observe(run.images)
    metrics.images.labels(card.name, card.version, verb).inc(images)
