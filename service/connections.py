"""One connection: uvicorn's, with bounds on what a hostile or broken peer can make it hold.

uvicorn leaves these to a proxy in front. Here the service keeps its promises without one: a head
or a body that comes too slowly is 408, a head that is too large 431, a body that no parser can
agree on 400, all of them as problem documents; an answer that nobody reads is given up.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any
from urllib.parse import unquote

from httptools import parse_url
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from service.cycles import Cycle, rendered
from service.refusals import Refusals
from service.settings import Settings

# Seconds between looks at how fast a body comes.
_INTERVAL = 2.0
# Bytes of a body that may wait for the rest of it, as many as in uvicorn.
_MUCH = 2**16
# Requests that a peer may send ahead of their answers; uvicorn itself would queue any number.
_MOST_PIPELINED = 32
# By which a proxy says who called it, and how.
_PROXIES = {b"x-forwarded-for", b"x-forwarded-proto"}


class Connection(HttpToolsProtocol):
    """What uvicorn calls for each connection (`http=` of its configuration).

    The lifespan's state must hold `settings` and `refusals`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn's middleware for what proxies say: most requests have been through none.
        proxied = isinstance(self.app, ProxyHeadersMiddleware)
        self._unproxied = self.app.app if proxied else self.app
        self._limits: Settings = self.app_state["settings"]
        self._refusals: Refusals = self.app_state["refusals"]
        self._body_bytes = 0
        self._expected = "head"  # or "body"; "" while no more of a request is to come
        self._timed = ""  # what `_timer` watches over
        self._timer: asyncio.TimerHandle | None = None
        self._body_since = 0.0
        self._received = 0  # bytes since the timer last looked
        self._head_unread = 0  # bytes of a header that the parser has not seen the end of
        self._refusal: tuple[int, str, str] | None = None
        self._running: RequestResponseCycle | None = None  # `cycle` may be a later one, in a queue
        self._unread: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._idle: asyncio.TimerHandle | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            most = self._limits.max_connections
            detail = f"{most} connections are open, and no more are taken: try again in 1 s"
            self._refuse(503, "connections", detail, {"Retry-After": "1"})
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._expected == "":  # of a request whose end was seen; the parser says when
            self._expected = "head"
        self._received += len(data)
        began = self._expected == "head" and not self._is_idle()
        super().data_received(data)
        if self._expected == "head" and not self._is_idle():
            self._head_unread += len(data) if began else 0
            if max(self._head_unread, self._head_bytes()) > self._limits.max_head_bytes:
                self.send_400_response(str(self._too_large()))
        if self._expected != self._timed:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expected = ""
        self._watch()
        for timer in (self._unread, self._idle):
            if timer is not None:
                timer.cancel()
        self._depart()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.write_timeout, self._nobody_reads)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expected = "head"
        self._head_unread = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begins to answer, or lets the request wait for the answers to those before it."""
        if self._head_bytes() > self._limits.max_head_bytes:
            raise self._too_large()
        if len(self.headers) > self._limits.max_headers:
            self._refusal = 431, "head", f"up to {self._limits.max_headers} headers are taken"
            raise ValueError("too many headers")
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._refusal = 400, "pipelined", f"up to {_MOST_PIPELINED} requests may be sent ahead"
            raise ValueError("too many pipelined requests")
        before, version = self.cycle, self.parser.get_http_version()
        headers = dict(self.headers)
        app = self._unproxied if _PROXIES.isdisjoint(headers) else self.app
        self._describe(version)
        self.cycle = cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,  # service.middleware logs
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=headers.get(b"expect", b"").lower() == b"100-continue",
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self._expected = "body"
        self._body_bytes = 0
        self._body_since = self.loop.time()
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def _describe(self, version: str) -> None:
        """Completes the scope by what the request's line says."""
        scope, url = self.scope, parse_url(self.url)
        path = url.path.decode("ascii")
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""

    def on_body(self, body: bytes) -> None:
        """Wakes the application for much of a body, or too much, but not for every packet of it."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        self._body_bytes += len(body)
        if len(cycle.body) > _MUCH or self._body_bytes > self._limits.max_body_bytes:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._expected = ""
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """Answers what cannot be parsed: uvicorn's name for it."""
        status, reason, detail = self._refusal or (400, "malformed", f"{msg} Send HTTP/1.1.")
        self._refuse(status, reason, detail)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Turns to the next request, or waits for one; the cycle calls it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle is None:  # one timer again and again: to make one takes as long as a header
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_at_idleness)

    # What the timers call

    def _look_at_idleness(self) -> None:
        left = float(self.timeout_keep_alive)
        if self._expected == "" and self.cycle.response_complete:
            left += self._idle_since - self.loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._idle = self.loop.call_later(left, self._look_at_idleness)

    def _watch(self) -> None:
        """Has the timer watch over what is expected now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = self._expected
        if self._expected == "head":
            self._timer = self.loop.call_later(self._limits.head_timeout, self._head_is_late)
        elif self._expected == "body":
            self._received = 0
            self._timer = self.loop.call_later(_INTERVAL, self._look_at_body)

    def _head_is_late(self) -> None:
        if self._is_idle():
            self.transport.close()
            return
        if self.flow.read_paused:  # it is we who do not take it
            self._watch()
            return
        seconds = self._limits.head_timeout
        self._refuse(408, "slow_head", f"the request's head did not come within {seconds:g} s")

    def _look_at_body(self) -> None:
        now = self.loop.time()
        rate = self._received / _INTERVAL
        self._received = 0
        if self.flow.read_paused:  # it is we who do not take it
            self._body_since += _INTERVAL
        elif rate < self._limits.min_body_rate:
            self._body_is_late(f"slower than {self._limits.min_body_rate} bytes a second")
            return
        elif now - self._body_since > self._limits.body_timeout:
            self._body_is_late(f"not there within {self._limits.body_timeout:g} s")
            return
        self._timer = self.loop.call_later(_INTERVAL, self._look_at_body)

    def _body_is_late(self, what: str) -> None:
        if self.cycle.response_complete:  # refused before its end, and never ended
            self.transport.close()
        else:
            self._refuse(408, "slow_body", f"the request's body is {what}")

    def _nobody_reads(self) -> None:
        self._refusals.add("slow_reader")
        self.transport.abort()

    # Refusing

    def _head_bytes(self) -> int:
        """How large the request's head is, as far as the parser has seen it."""
        headers = self.headers
        return len(self.url) + sum(map(len, chain.from_iterable(headers))) + 4 * len(headers)

    def _too_large(self) -> ValueError:
        most = self._limits.max_head_bytes
        self._refusal = 431, "head", f"up to {most} bytes of URL and headers are taken"
        return ValueError("too large a head")

    def _is_idle(self) -> bool:
        """Whether nothing of a request has come yet."""
        return self.scope is None or (self.cycle is not None and self.cycle.scope is self.scope)

    def _refuse(
        self, status: int, reason: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        """Answers in the application's place, and ends the connection."""
        if self.transport.is_closing():
            return
        self._refusals.add(reason)
        # A caller must not take this for the answer to what it sent before.
        if self._running is None or self._running.response_complete:
            self.transport.write(rendered(status, detail, self._path(), headers))
        elif self._running is self.cycle and self._expected == "body":
            if not self.cycle.response_started:
                self.transport.write(rendered(status, detail, self._path(), headers))
            self.cycle.scope["state"]["refused"] = status
        self._depart()
        self.transport.close()

    def _depart(self) -> None:
        """Tells the application that nobody waits for what it is doing."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _path(self) -> str:
        url = bytes(getattr(self, "url", b""))
        return url.partition(b"?")[0].decode("latin-1")
