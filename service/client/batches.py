"""One call in as many requests as it takes: a long list is cut to what a server accepts."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service import npy
from service.client import parts
from service.client.answers import Sent
from service.client.errors import ServiceError, TooLarge
from service.client.exchange import Ask, Retries, Steps, good
from service.client.parts import Progress
from service.client.pictures import Body, Item, size

Sendable = TypeVar("Sendable", bound=Item)

JSON = "application/json"
# Raw arrays cost no codec; where the images are of several sizes, JSON has them.
RAW = f"{npy.MEDIA_TYPE}, {JSON};q=0.5"
# What was a file comes as one: with its alpha and profile, and as it is to be saved.
FILE = f"image/png, {JSON};q=0.5"
AUTO = "auto"
_LARGE = 2**19  # bytes; a photograph, or hundreds of digits


@dataclass(frozen=True)
class Limits:
    """How much goes into one request; well within the service's own defaults.

    Where a server takes less, its 413 says so and the request is halved.
    """

    images: int = 1024
    bytes: int = 16 * 2**20
    pixels: int = 4_000_000


def asking(
    method: str,
    path: str,
    query: Mapping[str, object] | None = None,
    *,
    accept: str = JSON,
    body: Body | None = None,
    request_id: str = "",
    told: Progress | None = None,
) -> Ask:
    """A request; options that are None are left to the service."""
    said = {name: _text(value) for name, value in (query or {}).items() if value is not None}
    if "/" in said.get("model", ""):  # as a model is written: NAME/VERSION
        said["model"], _, version = said["model"].partition("/")
        said.setdefault("version", version)
    accept = f"{parts.MEDIA_TYPE}, {accept}" if told else accept
    headers = {"Accept": accept, "X-Request-ID": request_id or uuid.uuid4().hex}
    return Ask(method, path, said, headers, body or Body(), told)


def in_batches(
    path: str,
    query: Mapping[str, object],
    items: Sequence[Sendable],
    body: Callable[[Sequence[Sendable], Sequence[Sendable]], Body],
    *,
    retries: Retries,
    limits: Limits,
    accept: str,
    references: Sequence[Sendable] = (),
    seed: int | None = None,
    alike: bool = False,
    tells: bool = False,
    progress: Progress | None = None,
) -> Steps[list[Sent]]:
    """Sends items in as few requests as they fit in, one after the other, under one id.

    The model that answers the first answers all. With `alike`, only items of one shape go
    together. A request's seed is `seed` and the place of its first item. Where the route `tells`
    how far it is, large requests have it do so even if nobody asks for `progress`: the timeout
    counts from the last sign of life then.

    Raises:
        ServiceError: of the first request that fails; `extra["index"]` counts over all items.
    """
    request_id = uuid.uuid4().hex
    waiting = deque(_spans(items, references, limits, alike))
    sent: list[Sent] = []
    while waiting:
        start, end = waiting.popleft()
        ask = asking(
            "POST",
            path,
            {**query, "seed": None if seed is None else seed + start},
            accept=accept,
            body=body(items[start:end], references[start:end]),
            request_id=request_id,
            told=_telling(progress, start, end, items) if tells else None,
        )
        try:
            answer = Sent((yield from good(ask, retries)))
        except ServiceError as error:
            if isinstance(error, TooLarge) and end - start > 1:
                middle = (start + end) // 2
                waiting.extendleft([(middle, end), (start, middle)])
                continue
            _count_over_all(error, start)
            raise
        if query.get("model") == AUTO:
            query = {**query, "model": answer.model.name, "version": answer.model.version}
        sent.append(answer)
        if progress:
            progress(end / len(items))
    return sent


def _telling(
    progress: Progress | None, start: int, end: int, items: Sequence[Item]
) -> Progress | None:
    """What is told how much of items `start` to `end` is done; None if nobody needs to be."""
    if progress:
        return lambda share: progress((start + share * (end - start)) / len(items))
    if sum(size(item)[0] for item in items[start:end]) < _LARGE:
        return None
    return lambda _: None


def _spans(
    items: Sequence[Item], references: Sequence[Item], limits: Limits, alike: bool
) -> Iterator[tuple[int, int]]:
    start = heavy = wide = 0
    for i, item in enumerate(items):
        weights = [size(item), *(size(reference) for reference in references[i : i + 1])]
        more = sum(weight for weight, _ in weights)
        pixels = sum(count for _, count in weights)
        full = i - start == limits.images or heavy + more > limits.bytes
        full = (
            full
            or wide + pixels > limits.pixels
            or (alike and _shape(item) != _shape(items[start]))
        )
        if full and i > start:
            yield start, i
            start, heavy, wide = i, 0, 0
        heavy, wide = heavy + more, wide + pixels
    yield start, len(items)


def _shape(item: Item) -> object:
    return getattr(item, "shape", None)


def _count_over_all(error: ServiceError, start: int) -> None:
    index = error.extra.get("index")
    if start and isinstance(index, int):
        error.extra["index"] = start + index
        error.detail = f"of the images from {start} on, {error.detail}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
