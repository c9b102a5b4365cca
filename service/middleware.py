"""Around every request: its id, its time, its count, its log line, and the net under it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import pages, problems, tracing
from service.errors import RequestError
from service.gate import Gate
from service.metrics import Metrics
from service.visit import Visit

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

_UNMATCHED = "(none)"
_REFUSED = {408, 429, 503}
_LEFT = 499  # as nginx counts callers that left before their answer
# Asked every few seconds.
PROBES = {"/health/live", "/health/ready", "/metrics", "/v2/health/live", "/v2/health/ready"}


class Observe:
    """Gives every answer `X-Request-ID` and `Server-Timing`, and counts it.

    A caller's own `X-Request-ID` is kept if it is a plain token.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        metrics: Metrics,
        traces: TracerProvider | None = None,
    ) -> None:
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(dict(reversed(scope["headers"])), self._gate.share())
        scope.setdefault("state", {})["visit"] = visit
        status, answered = 500, False

        def observed_send(message: Message) -> Awaitable[None]:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                if visit.ran:
                    visit.timing["encode"] = time.perf_counter() - visit.ran
                if self._traces is not None:
                    tracing.describe(self._traces, scope)
                message["headers"] += (
                    (b"x-request-id", visit.id.encode()),
                    (b"server-timing", visit.server_timing()),
                    (b"x-content-type-options", b"nosniff"),
                )
                if scope["method"] in ("GET", "HEAD"):
                    message["headers"] += pages.protection(message["headers"])
            return send(message)

        try:
            await self._app(scope, self._gate.enter(scope, visit, receive), observed_send)
        except RequestError as error:  # at the gate; the application answers its own
            await problems.answer_to(error, scope)(scope, receive, observed_send)
        except asyncio.CancelledError:
            cut_off = None if answered else problems.cut_off(scope)
            if cut_off is None:
                raise
            await cut_off(scope, receive, observed_send)
        except ClientDisconnect:  # nobody is there to answer, and nothing is wrong here
            status = scope["state"].get("refused", _LEFT)
        except Exception:
            log.exception("request %s failed", visit.id)
            if answered:  # too late for a problem: the server closes the connection
                raise
            response = problems.internal(scope["path"], visit.id)
            await response(scope, receive, observed_send)
        finally:
            self._end(scope, visit, status)

    def _end(self, scope: Scope, visit: Visit, status: int) -> None:
        """Gives back what the request held, counts it and logs it."""
        seconds = time.perf_counter() - visit.started
        visit.share.release(seconds)
        # The pattern, not the path: a caller cannot invent label values.
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        self._metrics.answered(route, scope["method"], status, seconds, visit.timing)
        level = logging.ERROR if status == 500 else logging.INFO
        if status in _REFUSED:  # counted, and summed up once a second
            level = logging.DEBUG
        if route in PROBES and status < 400:  # no news
            level = logging.DEBUG
        if log.isEnabledFor(level):
            log.log(
                level,
                "%s %s %d %.1f ms %s",
                scope["method"],
                scope["path"],
                status,
                seconds * 1000,
                visit.id,
                extra={  # fields of their own where logs are JSON
                    "request_id": visit.id,
                    "route": route,
                    "status": status,
                    "milliseconds": round(seconds * 1000, 3),
                    "model": visit.model,
                    "caller": visit.caller,
                    "trace_id": visit.trace_id,
                },
            )
