"""In front of every POST: refuses what cannot be taken now, while that is still cheap."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from starlette.types import Message, Receive, Scope

from service import deadlines
from service.budget import Budget
from service.catalog import Catalog
from service.errors import Malformed
from service.keys import Keys
from service.settings import Settings
from service.visit import Visit

_MODEL = re.compile(rb"(?:^|&)model=([\w.-]+)")
_INFER = re.compile(r"/v2/models/([\w-]+)(?:\.\w+)?/infer")
_REMEMBERED = 1024  # query strings; with seeds in them there is no end


class Gate:
    """Lets requests in while the process's budget and the model that they name have room.

    A request that names a model whose backlog is full is refused before its body is read: nine of
    ten callers of an overloaded model must not cost a decoded picture each.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = (
            Keys(settings.keys_file, workers=settings.workers) if settings.keys_file else None
        )
        self.budget = Budget(settings.max_requests, settings.max_bytes_in_flight)

    def enter(self, scope: Scope, visit: Visit) -> None:
        """Lets a request in before anything of its body is read.

        Raises:
            Unauthorized, Forbidden, TooManyRequests: its API key says no.
            Overloaded: it cannot be taken now.
        """
        if self._keys is not None:
            self._keys.check(scope)
        if scope["method"] != "POST":  # who watches an overloaded service is let in
            return
        budget = self.budget
        if budget.requests >= budget.max_requests:
            budget.check()
        name = _named(scope["path"], scope["query_string"])
        if name is None:
            return
        catalog: Catalog = scope["app"].state.catalog
        served = catalog.highest(name)
        if served is None:
            return
        backlog = served.backlog
        if not (backlog.images and backlog.crowded):  # the queue itself looks again
            return
        try:
            left = min(deadlines.patience(visit.headers), self._settings.request_timeout)
        except Malformed:  # the route says so
            return
        # Any request has an image, of a byte or more.
        backlog.admit(1, 1, 0.0, left)


def counted(visit: Visit, receive: Receive) -> Receive:
    """A `receive` that counts the body as part of what the request holds.

    It raises Overloaded where all requests together would hold too much.
    """

    async def receive_and_count() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            if message.get("more_body"):
                visit.hold(size)
            else:
                visit.begin(size)
                visit.whole = time.perf_counter()
        return message

    return receive_and_count


@lru_cache(_REMEMBERED)
def _named(path: str, query: bytes) -> str | None:
    """The model that a request names, if it names no version."""
    if found := _INFER.fullmatch(path):
        return found[1]
    if (named := _MODEL.search(query)) and b"version=" not in query:
        return named[1].decode()
    return None
