"""One connection: uvicorn's, with bounds on what a hostile or broken peer can make it hold.

uvicorn leaves these to a proxy in front. Here the service keeps its promises without one: a head
that is too large is 431, a body that no parser can agree on 400, both as problem documents. What
comes too slowly, or is not read, is the matter of `service.lateness`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.cycles import Application, Cycle, rendered, run
from service.heads import Head, Heads
from service.lateness import Timed
from service.lingering import Lingering

# Bytes of a body that may wait for the rest of it. uvloop brings 256,000 at a time, so that fewer
# would be held all the same, and only have the application woken with every packet.
_MUCH = 2**18
# Requests that a peer may send ahead of their answers; uvicorn itself would queue any number.
_MOST_PIPELINED = 32


class Connection(Timed):
    """What uvicorn calls for each connection (`http=` of its configuration).

    The lifespan's state must hold `settings`, `refusals`, `lingering`, `heads`, and `entrance`:
    what answers a request that no proxy has passed on.
    """

    pipeline: deque[Cycle]  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lingering: Lingering = app_state["lingering"]
        self._entrance: Application = app_state["entrance"](self.app)
        self._most = self._limits.max_head_bytes
        self._heads: Heads = app_state["heads"]
        self._asgi = {"version": self.asgi_version, "spec_version": "2.3"}
        self._peers: dict[str, Any] = {}  # what a request's scope says of its connection
        self._begun = 0  # requests in the packet that is read
        self._body_bytes = 0
        self._packet = 0  # bytes of what was received last
        self._head_unread = 0  # bytes of the head in packets after its first
        self._refusal: tuple[int, str, str] | None = None
        self._running: Cycle | None = None  # `cycle` may be a later one, in a queue

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peers = {
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": self.root_path,
        }
        if len(self.connections) > (most := self._limits.max_connections):
            detail = f"{most} connections are open, and no more are taken: try again in 1 s"
            self._refuse(503, "connections", detail, {"Retry-After": "1"})
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Takes a whole request whose head has come before as it is; all else the parser reads."""
        between = not self._heading and self._expected != "body"
        cycle = self.cycle
        if between and (cycle is None or cycle.response_complete):
            known = self._heads.known(data)
            if known is not None:
                self.url = known[0].url
                self._expected = ""
                if self._timed:
                    self._watch()
                self._start(self._cycle(*known))
                return
        if not self._expected:  # of a request whose end was seen; the parser says when
            self._expected = "head"
        self._packet = size = len(data)
        self._received += size
        self._begun = 0
        if self._heading:
            self._head_unread += size
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except HttpParserUpgrade:
            pass  # to another protocol: answered as if it had not asked (RFC 9110, 7.8)
        else:
            if between and self._begun == 1 and not self._expected:
                self._heads.remember(data, self.cycle.head)
        if self._heading and max(self._head_unread, self._head_bytes()) > self._most:
            self.send_400_response(str(self._too_large()))
        if self._expected != self._timed:
            self._watch()

    def connection_lost(self, _: Exception | None) -> None:
        self._watch_no_more()
        self._depart()
        self.connections.discard(self)
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]  # they know each other

    # What the parser calls

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._begun += 1
        self._expected = "head"
        self._heading = True
        self._head_unread = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begins to answer, or lets the request wait for the answers to those before it."""
        headers, parser = self.headers, self.parser
        # Nearly all come in one packet, which is no larger.
        if (self._head_unread or self._packet > self._most) and self._head_bytes() > self._most:
            raise self._too_large()
        if len(headers) > (most := self._limits.max_headers):
            raise self._fault(431, "head", f"up to {most} headers are taken")
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise self._fault(400, "pipelined", f"up to {_MOST_PIPELINED} requests are taken ahead")
        head = Head(
            self.url,
            headers,
            method=parser.get_method().decode("ascii"),
            version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive(),
            asgi=self._asgi,
        )
        before, cycle = self.cycle, self._cycle(head)
        self._heading = False
        self._expected = "body"
        self._body_bytes = 0
        self._body_since = self.loop.time()
        if before is None or before.response_complete:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft(cycle)

    def on_body(self, body: bytes) -> None:
        """Wakes the application for much of a body, or too much, but not for every packet of it."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.add(body)
        self._body_bytes += len(body)
        if cycle.held > _MUCH or self._body_bytes > self._limits.max_body_bytes:
            self.flow.pause_reading()
            cycle.wake()

    def on_message_complete(self) -> None:
        self._expected = ""
        self.cycle.more_body = False
        self.cycle.wake()

    def send_400_response(self, msg: str) -> None:
        """Answers what cannot be parsed: uvicorn's name for it."""
        status, reason, detail = self._refusal or (400, "malformed", f"{msg} Send HTTP/1.1.")
        self._refuse(status, reason, detail)

    def _cycle(self, head: Head, body: bytes | None = None) -> Cycle:
        """A request with that head, and its body where that is there."""
        scope = head.scope | self._peers
        scope["state"] = self.app_state.copy()
        self.cycle = cycle = Cycle(
            scope,  # type: ignore[arg-type]
            self.transport,
            self.flow,
            self.server_state.default_headers,
            self.on_response_complete,
            keep_alive=head.keep_alive,
            expect_100_continue=head.expects,
        )
        cycle.head = head
        if body is not None:
            cycle.give(body)
        return cycle

    def _start(self, cycle: Cycle) -> None:
        self._running = cycle
        self._lingering.end()
        application = self._passed_on if cycle.head.proxied else self._entrance
        cycle.task = task = self.loop.create_task(run(cycle, application, self.tasks))
        self.tasks.add(task)

    async def _passed_on(self, cycle: Cycle) -> None:
        """Answers through uvicorn's middleware for what proxies say; few requests have met one."""
        await self.app(cycle.scope, cycle.receive, cycle.send)

    def on_response_complete(self) -> None:
        """Turns to the next request, or waits for one; the cycle calls it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop())
            return
        if len(self.tasks) == 1:
            self._lingering.begin(self.loop)
        self._rest()

    # Refusing

    def _head_bytes(self) -> int:
        """How large the request's head is, as far as the parser has seen it."""
        headers = self.headers
        return len(self.url) + sum(map(len, chain.from_iterable(headers))) + 4 * len(headers)

    def _too_large(self) -> ValueError:
        return self._fault(431, "head", f"up to {self._most} bytes of URL and headers are taken")

    def _fault(self, status: int, reason: str, detail: str) -> ValueError:
        """What a callback of the parser raises to have it end, and the request refused."""
        self._refusal = status, reason, detail
        return ValueError(detail)

    def _refuse(
        self, status: int, reason: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        """Answers in the application's place, and ends the connection."""
        if self.transport.is_closing():
            return
        self._refusals.add(reason)
        path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
        # A caller must not take this for the answer to what it sent before.
        if self._running is None or self._running.response_complete:
            self.transport.write(rendered(status, detail, path, headers))
        elif self._running is self.cycle and self._expected == "body":
            if not self.cycle.response_started:
                self.transport.write(rendered(status, detail, path, headers))
            self.cycle.scope["state"]["refused"] = status
        self._depart()
        self.transport.close()

    def _depart(self) -> None:
        """Tells the application that nobody waits for what it is doing."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.wake()
