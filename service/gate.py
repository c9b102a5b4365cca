"""In front of every POST: refuses what cannot be taken now, while that is still cheap."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from starlette.types import Message, Receive, Scope

from service import deadlines
from service.backlog import Backlog
from service.budget import Budget, Share
from service.catalog import Catalog
from service.errors import Malformed
from service.keys import Keys
from service.settings import Settings
from service.visit import Visit

_MODEL = re.compile(rb"(?:^|&)model=([\w.-]+)")
_INFER = re.compile(r"/v2/models/([\w-]+)(?:\.\w+)?/infer")
_REMEMBERED = 1024  # query strings; with seeds in them there is no end


class Gate:
    """Gives each request its share of the process's budget, and takes it back in the end.

    A request that names a model whose backlog is full is refused before its body is read: nine of
    ten callers of an overloaded model must not cost a decoded picture each.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = (
            Keys(settings.keys_file, workers=settings.workers) if settings.keys_file else None
        )
        self._budget = Budget(settings.max_requests, settings.max_bytes_in_flight)

    def share(self) -> Share:
        """What one request holds: nothing yet."""
        return Share(self._budget)

    def enter(self, scope: Scope, visit: Visit, receive: Receive) -> Receive:
        """A `receive` that counts the body as part of the request's share.

        Raises:
            Unauthorized, Forbidden, TooManyRequests: its API key says no.
            Overloaded: it cannot be taken now. Its `receive` may raise that too.
        """
        if self._keys is not None:
            self._keys.check(scope)
        if scope["method"] != "POST":  # who watches an overloaded service is let in
            return receive
        self._budget.check()
        self._check_model(scope, visit)
        share = visit.share

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                share.take(len(message.get("body", b"")))
                if not message.get("more_body"):
                    share.count()
                    visit.whole = time.perf_counter()
            return message

        return counted

    def _check_model(self, scope: Scope, visit: Visit) -> None:
        backlog = _backlog(scope)
        if backlog is None or not backlog.images:
            return
        try:
            left = min(deadlines.patience(visit.headers), self._settings.request_timeout)
        except Malformed:  # the route says so
            return
        # Any request has an image, of a byte or more.
        backlog.admit(1, 1, 0.0, left)


def _backlog(scope: Scope) -> Backlog | None:
    """That of the model which the request names, if it names no version."""
    name = _named(scope["path"], scope["query_string"])
    if name is None:
        return None
    catalog: Catalog = scope["app"].state.catalog
    served = catalog.highest(name)
    return served.backlog if served else None


@lru_cache(_REMEMBERED)
def _named(path: str, query: bytes) -> str | None:
    if found := _INFER.fullmatch(path):
        return found[1]
    if (named := _MODEL.search(query)) and b"version=" not in query:
        return named[1].decode()
    return None
