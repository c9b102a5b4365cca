"""One request and its answer on a connection: uvicorn's, with the answer written as one.

uvicorn writes an answer's head when it begins and its body when that comes: two calls of the
system, and two regular expressions for every header. Here the head of an answer whose length is
known waits for its body, and all headers are looked at together.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.problems import problem

_LINE = b"%b: %b\r\n"
# What would end a header's line, or is in no header's value (RFC 9110, 5.5); a tab may be.
_CONTROLS = bytes({*range(0x20), 0x7F} - {ord("\t")})


class Cycle(RequestResponseCycle):
    """What a connection makes for each request."""

    _head = b""  # of an answer whose body has not come yet

    async def send(self, message: ASGISendEvent) -> None:
        """Takes what ASGI calls `http.response.start`, then `http.response.body`.

        Raises:
            RuntimeError: not in that order, a header that is none, or another length than said.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], list(message.get("headers", ())))
        elif message["type"] == "http.response.body" and self.response_started:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        headers = self.default_headers + headers
        lines = b"".join(map(_LINE.__mod__, headers))
        if len(lines.translate(None, _CONTROLS)) != len(lines) - 2 * len(headers):
            raise RuntimeError("a header has characters that none may have")
        head = [STATUS_LINE[status], lines]
        if CLOSE_HEADER in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            head.append(b"connection: close\r\n")
        length = dict(headers).get(b"content-length")
        bodiless = self.scope["method"] == "HEAD" or status in (204, 304)
        if length is not None:
            self.chunked_encoding = False
            self.expected_content_length = int(length)
        elif not bodiless:
            self.chunked_encoding = True
            head.append(b"transfer-encoding: chunked\r\n")
        head.append(b"\r\n")
        if length is None or bodiless:
            self.transport.write(b"".join(head))
        else:
            self._head = b"".join(head)

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
            self.transport.writelines((self._head, body))
            self._head = b""
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


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
