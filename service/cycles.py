"""One request and its answer on a connection: uvicorn's, with the answer written as one.

uvicorn writes an answer's head when it begins and its body when that comes: two calls of the
system, and two regular expressions for every header. Here the head of an answer whose length is
known waits for its body, and all headers are looked at together.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.heads import Head
from service.problems import problem

Header = tuple[bytes, bytes]
Parts = Sequence[bytes | memoryview]  # of a body, which is sent without joining them

_LINE = b"%b: %b\r\n"
# What would end a header's line, or is in no header's value (RFC 9110, 5.5); a tab may be.
_CONTROLS = bytes({*range(0x20), 0x7F} - {ord("\t")})
_BODILESS = {204, 304}
_END, _CLOSE = b"\r\n", b"connection: close\r\n\r\n"
_GOOD = STATUS_LINE[200]
_SMALL = 2**14  # bytes that are copied sooner than the system is given a list of parts

_log = logging.getLogger("uvicorn.error")


class Cycle(RequestResponseCycle):
    """What a connection makes for each request.

    uvicorn makes an event for each one's body, and has every request wait for it; nearly every
    body is there before anybody asks for it.
    """

    disconnected = response_started = response_complete = chunked_encoding = False
    more_body = True
    expected_content_length = 0
    came: list[bytes] | None = None  # of the body, part by part, that nobody has asked for yet
    held = 0  # bytes of them
    _news = False  # since somebody last received something
    _woken: asyncio.Event | None = None  # of those who wait
    _head: tuple[bytes, ...] = ()  # of an answer whose body has not come yet
    logger = _log
    head: Head  # of the request, as its connection has it
    task: asyncio.Task[None]  # in which the application answers it

    def __init__(
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: list[Header],
        on_response: Callable[[], None],
        *,
        keep_alive: bool = True,
        expect_100_continue: bool = False,
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.on_response = on_response
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue

    def wake(self) -> None:
        """There is something to receive: the body's end, much of it, or that nobody waits."""
        self._news = True
        if self._woken is not None:
            self._woken.set()

    def give(self, body: bytes) -> None:
        """All of the body is there, before anybody has asked for it."""
        self.came, self.more_body, self._news = [body], False, True

    def add(self, part: bytes) -> None:
        """A part of the body came; whoever waits for it is not woken yet."""
        # One bytes object that grows is copied, and its memory mapped, with each part of a large
        # body; a part of a byte or two takes forty times its size.
        if self.came and len(self.came[-1]) + len(part) <= _SMALL:
            self.came[-1] += part
        else:
            self.came = self.came or []
            self.came.append(part)
        self.held += len(part)

    def take(self) -> bytes | None:
        """The body, if all of it is there; then it is received, but for a caller that leaves."""
        if self.more_body or not self._news or self.disconnected or self.flow.read_paused:
            return None
        return self._taken()

    async def receive(self) -> ASGIReceiveEvent:
        """What came of the body, once it is all there or much; or that the caller left."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if self.flow.read_paused and not (self.disconnected or self.response_complete):
            self.flow.resume_reading()
        while not (self._news or self.disconnected or self.response_complete):
            self._woken = self._woken or asyncio.Event()
            self._woken.clear()
            await self._woken.wait()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._taken(), "more_body": self.more_body}

    def _taken(self) -> bytes:
        parts, self.came, self.held, self._news = self.came or [], None, 0, False
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def send(self, message: ASGISendEvent) -> None:
        """Takes what ASGI calls `http.response.start`, then `http.response.body`.

        Raises:
            RuntimeError: not in that order, a header that is none, or another length than said.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started and message["type"] == "http.response.start":
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_started and message["type"] == "http.response.body":
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")

    def answer(self, lines: bytes, parts: Parts) -> bool:
        """Writes a whole good answer: its headers' lines, its length among them, and its body.

        False where it must be sent in order, since the caller is slow to read.
        """
        if self.flow.write_paused or self.response_started:
            return False
        if self.disconnected:
            return True
        self.response_started = True
        common, closes = _common(tuple(self.default_headers))
        if closes:
            self.keep_alive = False
        end = _CLOSE if not (self.keep_alive or closes) else _END
        if len(parts[-1]) < _SMALL:
            self.transport.write(b"".join((_GOOD, common, lines, end, *parts)))
        else:
            self.transport.writelines((_GOOD, common, lines, end, *parts))
        self._complete()
        return True

    def _begin(self, status: int, headers: Iterable[Header]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        headers = [*self.default_headers, *headers]
        lines, end = lines_of(headers), _END
        if CLOSE_HEADER in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            end = _CLOSE
        length = dict(headers).get(b"content-length")
        bodiless = status in _BODILESS or self.scope["method"] == "HEAD"
        if length is not None:
            self.expected_content_length = int(length)
        elif not bodiless:
            self.chunked_encoding = True
            end = b"transfer-encoding: chunked\r\n" + end
        head = STATUS_LINE[status], lines, end
        if length is None or bodiless:
            self.transport.writelines(head)
        else:
            self._head = head

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self.response_complete:
            raise RuntimeError("the answer was complete, and more of it was sent")
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            parts = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
            if not more:
                parts.append(b"0\r\n\r\n")
            if parts:
                self.transport.writelines(parts)
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
            self.transport.writelines((*self._head, body))
            self._head = ()
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its Content-Length")
        self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        if self._woken is not None:
            self.wake()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def lines_of(headers: Sequence[Header]) -> bytes:
    """Headers as they go over the wire.

    Raises:
        RuntimeError: one of them has a character that none may have.
    """
    lines = b"".join(map(_LINE.__mod__, headers))
    if len(lines.translate(None, _CONTROLS)) != len(lines) - 2 * len(headers):
        raise RuntimeError("a header has characters that none may have")
    return lines


@lru_cache(4)
def _common(headers: tuple[Header, ...]) -> tuple[bytes, bool]:
    """The lines of what all answers have, and whether it ends their connections."""
    return lines_of(headers), CLOSE_HEADER in headers


Application = Callable[[Cycle], Awaitable[None]]


async def run(cycle: Cycle, application: Application, tasks: set[asyncio.Task[None]]) -> None:
    """Has the application answer; it is one of the `tasks` until then."""
    try:
        await application(cycle)
        if not (cycle.response_complete or cycle.disconnected):
            raise RuntimeError("the application did not answer, or not to the end")
    except BaseException:
        _log.exception("Exception in ASGI application")
        if cycle.response_started:
            cycle.transport.close()
        else:
            await cycle.send_500_response()
    finally:
        cycle.on_response = _nobody
        tasks.discard(cycle.task)


def _nobody() -> None:
    """Who is told of an answer's end after the application has ended."""


def rendered(status: int, detail: str, path: str, headers: dict[str, str] | None) -> bytes:
    """A whole answer, a problem, where there is no cycle to send it."""
    request_id = uuid.uuid4().hex
    answer = problem(
        status,
        HTTPStatus(status).phrase,
        detail,
        path=path,
        request_id=request_id,
        headers={"Connection": "close", "X-Request-ID": request_id, **(headers or {})},
    )
    head = b"".join(_LINE % pair for pair in answer.raw_headers)
    return STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body)
