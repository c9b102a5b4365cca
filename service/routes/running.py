"""Between a route and the queues: deadline, timing and counters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from numpy.typing import NDArray

from service.catalog import Catalog, Served
from service.errors import DeadlineExceeded

Array = NDArray[Any]


def catalog_of(request: Request) -> Catalog:
    catalog: Catalog = request.app.state.catalog
    return catalog


async def run_each(
    request: Request, served: Served, verb: str, items: Sequence[Array]
) -> list[tuple[Array, ...]]:
    """Runs the items through the model's queue, in time, and counts them.

    Raises:
        Overloaded: too much waits already.
        DeadlineExceeded: the answer did not come in time; work still queued will not run.
    """
    seconds = request.app.state.settings.request_timeout
    try:
        async with asyncio.timeout(seconds):
            batched = await served.run_each(verb, items)
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {seconds:g} s: send fewer images, or try again later"
        ) from None
    metrics, card = request.app.state.metrics, served.manifest
    request.state.timing.update(queue=batched.queue, infer=batched.infer)
    metrics.queue_seconds.labels(card.name).observe(batched.queue)
    metrics.infer_seconds.labels(card.name).observe(batched.infer)
    metrics.images.labels(card.name, card.version, verb).inc(len(items))
    return batched.outputs
