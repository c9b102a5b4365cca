"""Around every request: its id, its time, its count, its log line, and the net under it."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import internal

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_UNMATCHED = "(none)"
_LEFT = 499  # as nginx counts callers that left before their answer
_PROBES = {"/health/live", "/health/ready", "/metrics"}


class Observe:
    """Gives every answer `X-Request-ID` and `Server-Timing`, and counts it.

    A caller's own `X-Request-ID` is kept if it is a plain token. Routes add phases to
    `scope["state"]["timing"]`, in seconds.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        timing: dict[str, float] = {}
        scope.setdefault("state", {}).update(request_id=request_id, timing=timing, started=started)
        scope["state"]["arrived"] = time.monotonic()
        status, answered = 500, False

        async def observed_send(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                phases = {**timing, "total": time.perf_counter() - started}
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["Server-Timing"] = ", ".join(
                    f"{phase};dur={seconds * 1000:.3f}" for phase, seconds in phases.items()
                )
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except ClientDisconnect:  # nobody is there to answer, and nothing is wrong here
            status = _LEFT
        except Exception:
            log.exception("request %s failed", request_id)
            if answered:  # too late for a problem: the server closes the connection
                raise
            await internal(scope["path"], request_id)(scope, receive, observed_send)
        finally:
            seconds = time.perf_counter() - started
            # The pattern, not the path: a caller cannot invent label values.
            route = getattr(scope.get("route"), "path", _UNMATCHED)
            self._metrics.requests.labels(route, scope["method"], status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            level = logging.INFO if status < 500 else logging.ERROR
            if route in _PROBES and status < 400:  # every few seconds, and no news
                level = logging.DEBUG
            log.log(
                level,
                "%s %s %d %.1f ms %s",
                scope["method"],
                scope["path"],
                status,
                seconds * 1000,
                request_id,
            )
