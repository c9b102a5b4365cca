"""Around every request: its id, its time, its count, its log line, and the net under it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service import pages, problems, tracing
from service.cycles import Cycle
from service.errors import RequestError
from service.gate import Gate, counted
from service.metrics import Metrics
from service.routes.answers import Whole
from service.routes.route import VerbRequest, Verbs
from service.visit import Visit

if TYPE_CHECKING:
    from fastapi import FastAPI
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
        verbs: Verbs,
        *,
        gate: Gate,
        metrics: Metrics,
        traces: TracerProvider | None = None,
        app: FastAPI | None = None,
    ) -> None:
        """`app` is the application whose outermost layer it is."""
        self._verbs = verbs
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._verbs.app(scope, receive, send)
            return
        visit = Visit(dict(reversed(scope["headers"])), self._gate.budget)
        scope.setdefault("state", {})["visit"] = visit
        await self._observe(visit, scope, receive, send)

    def answer(self, cycle: Cycle) -> Awaitable[None]:
        """The same for a connection that has nothing else around the application.

        It may have the body already, and takes a whole answer as it is.
        """
        visit = Visit(cycle.head.named, self._gate.budget)
        visit.cycle, scope = cycle, cycle.scope
        scope["app"], scope["state"]["visit"] = self._app, visit  # type: ignore[typeddict-unknown-key]
        # uvicorn has types of its own.
        return self._observe(visit, scope, cycle.receive, cycle.send)  # type: ignore[arg-type]

    async def _observe(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._gate.enter(scope, visit)
            route = self._verbs.route_of(scope)
            if route is None:
                observed = self._observed(visit, scope, send)
                await self._verbs.app(scope, counted(visit, receive), observed)
                return
            cycle = visit.cycle
            if cycle is not None and (body := cycle.take()) is not None:
                visit.begin(len(body))
                visit.whole, visit.body = time.perf_counter(), body
            else:
                receive = counted(visit, receive)
            response = await route.answer(VerbRequest(scope, receive))
            if cycle is not None and isinstance(response, Whole):
                self._complete(visit, scope)
                if cycle.answer(response.lines + visit.lines(), response.parts):
                    visit.status = 200
                    return
            await response(scope, receive, self._observed(visit, scope, send))
        except RequestError as error:  # of a verb or the gate; the application answers its own
            answer = problems.answer_to(error, scope)
            await answer(scope, receive, self._observed(visit, scope, send))
        except asyncio.CancelledError:
            cut_off = None if visit.status else problems.cut_off(scope)
            if cut_off is None:
                raise
            await cut_off(scope, receive, self._observed(visit, scope, send))
        except ClientDisconnect:  # nobody is there to answer, and nothing is wrong here
            visit.status = scope["state"].get("refused", _LEFT)
        except Exception:
            log.exception("request %s failed", visit.id)
            if visit.status:  # too late for a problem: the server closes the connection
                raise
            answer = problems.internal(scope["path"], visit.id)
            await answer(scope, receive, self._observed(visit, scope, send))
        finally:
            visit.cycle = None  # they would know each other, for the garbage collector to find
            self._end(scope, visit, visit.status or 500)

    def _observed(self, visit: Visit, scope: Scope, send: Send) -> Send:
        """A `send` that gives the answer its headers, and notes its status."""

        def send_and_observe(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                self._complete(visit, scope)
                message["headers"] += visit.closing()
                if scope["method"] in ("GET", "HEAD"):
                    message["headers"] += pages.protection(message["headers"])
            return send(message)

        return send_and_observe

    def _complete(self, visit: Visit, scope: Scope) -> None:
        """The answer begins: what is known of the request is all there is."""
        if visit.ran:
            visit.timing["encode"] = time.perf_counter() - visit.ran
        if self._traces is not None:
            tracing.describe(self._traces, scope)

    def _end(self, scope: Scope, visit: Visit, status: int) -> None:
        """Gives back what the request held, counts it and logs it."""
        seconds = time.perf_counter() - visit.started
        visit.release(seconds)
        # The pattern, not the path: a caller cannot invent label values.
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        self._metrics.answered(route, scope["method"], status, seconds, visit.timing)
        level = logging.INFO
        if status >= 400:
            if status in _REFUSED:  # counted, and summed up once a second
                level = logging.DEBUG
            elif status == 500:
                level = logging.ERROR
        elif route in PROBES:  # no news
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
