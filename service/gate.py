"""In front of every POST: refuses what cannot be taken now, while that is still cheap."""

from __future__ import annotations

import re
import time

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from service import deadlines
from service.backlog import Backlog
from service.budget import Budget, Share
from service.catalog import Catalog
from service.errors import Malformed
from service.keys import Keys
from service.settings import Settings

_MODEL = re.compile(rb"(?:^|&)model=([\w.-]+)")
_INFER = re.compile(r"/v2/models/([\w-]+)(?:\.\w+)?/infer")


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

    def enter(self, scope: Scope, receive: Receive) -> Receive:
        """A `receive` that counts the body; `scope["state"]["share"]` is the request's share.

        Raises:
            Unauthorized, Forbidden, TooManyRequests: its API key says no.
            Overloaded: it cannot be taken now. Its `receive` may raise that too.
        """
        share = scope["state"]["share"] = Share(self._budget)
        if self._keys is not None:
            self._keys.check(scope)
        if scope["method"] != "POST":  # who watches an overloaded service is let in
            return receive
        self._budget.check()
        self._check_model(scope)

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                if body := message.get("body"):
                    share.take(len(body))
                if not message.get("more_body"):
                    share.count()
                    scope["state"]["whole"] = time.perf_counter()
            return message

        return counted

    def leave(self, scope: Scope, seconds: float) -> None:
        """The request is over, after so many seconds."""
        share: Share = scope["state"]["share"]
        share.release(seconds)

    def _check_model(self, scope: Scope) -> None:
        backlog = _backlog(scope)
        if backlog is None or not backlog.images:
            return
        try:
            seconds = deadlines.patience(Headers(scope=scope))
        except Malformed:  # the route says so
            return
        left = min(seconds, self._settings.request_timeout)
        # Any request has an image, of a byte or more.
        backlog.admit(1, 1, 0.0, time.monotonic() + left)


def _backlog(scope: Scope) -> Backlog | None:
    """That of the model which the request names, if it names no version."""
    query: bytes = scope["query_string"]
    if found := _INFER.fullmatch(scope["path"]):
        name = found[1]
    elif (named := _MODEL.search(query)) and b"version=" not in query:
        name = named[1].decode()
    else:
        return None
    catalog: Catalog = scope["app"].state.catalog
    return catalog.get(name).backlog if catalog.versions(name) else None
