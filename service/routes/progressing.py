"""An answer that says how far it is: `multipart/mixed`, of which the last part is the answer.

Whoever accepts it gets `application/json` parts, `{"done": 3, "total": 96}`, while the work goes
on, and then what would have been the answer, with its own headers. It is one answer of one
connection, so that it does not matter which worker gives it. RFC 2046, section 5.1.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from service import problems
from service.errors import RequestError
from service.progress import Progress
from service.visit import visit_of

MIXED = "multipart/mixed"
_MIXED = MIXED.encode()
ANYTHING = b"*/*"  # what everybody accepts who does not say

# What fails or is done sooner is answered with a status of its own.
_SOON = 0.5

log = logging.getLogger(__name__)


def told(
    request: Request, accept: bytes, work: Callable[[], Awaitable[Response]]
) -> Awaitable[Response]:
    """What `work` answers; to whoever accepts it, part by part."""
    wanted = accept != ANYTHING and _MIXED in accept.lower()
    return _telling(request, work) if wanted else work()


def accepted(request: Request) -> bytes:
    """What the request says that it accepts."""
    return visit_of(request.scope).headers.get(b"accept", ANYTHING)


async def _telling(request: Request, work: Callable[[], Awaitable[Response]]) -> Response:
    visit_of(request.scope).progress = progress = Progress()
    return _Telling(work, progress)


class _Telling(Response):
    """Does the work while it is sent."""

    def __init__(self, work: Callable[[], Awaitable[Response]], progress: Progress) -> None:
        self._boundary = secrets.token_hex(16)
        super().__init__(media_type=f"{MIXED}; boundary={self._boundary}")
        del self.headers["content-length"]
        self._work = work
        self._progress = progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task, begun = asyncio.create_task(self._answer()), False
        try:
            await asyncio.wait([task], timeout=_SOON)
            if task.done() and (failed := _failure(task)):
                raise failed
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            begun = True
            while not task.done():
                await self._send_progress(send)
                await self._moved(task)
            await self._send_progress(send)
            await self._send(send, self._last(task, scope), more=False)
        except RequestError as error:
            await problems.answer_to(error, scope)(scope, receive, send)
        except asyncio.CancelledError:
            cut_off = problems.cut_off(scope) if begun else None
            if cut_off is None:
                raise
            await self._send(send, cut_off, more=False)
        finally:
            task.cancel()

    async def _answer(self) -> Response:
        return await self._work()

    async def _moved(self, task: asyncio.Task[Response]) -> None:
        moved = asyncio.create_task(self._progress.moved())
        try:
            await asyncio.wait([task, moved], return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()

    async def _send_progress(self, send: Send) -> None:
        progress = self._progress
        if progress.total:
            text = json.dumps({"done": progress.done, "total": progress.total})
            await self._send(send, Response(text, media_type="application/json"))

    async def _send(self, send: Send, part: Response, *, more: bool = True) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in part.headers.items())
        begin = f"--{self._boundary}\r\n{head}\r\n".encode("latin-1")
        end = b"\r\n" if more else f"\r\n--{self._boundary}--\r\n".encode()
        for body in (begin, part.body):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": end, "more_body": more})

    def _last(self, task: asyncio.Task[Response], scope: Scope) -> Response:
        """The answer, or the problem there was instead."""
        visit = visit_of(scope)
        error = _failure(task)
        if error is None:
            response = task.result()
            response.headers["Server-Timing"] = visit.server_timing().decode()
            return response
        if isinstance(error, RequestError):
            return problems.answer_to(error, scope)
        log.error("request %s failed", visit.id, exc_info=error)
        return problems.internal(scope["path"], visit.id)


def _failure(task: asyncio.Task[Response]) -> Exception | None:
    """What went wrong in it; a caller that left is no answer's business, and raised."""
    error = task.exception()
    if isinstance(error, ClientDisconnect) or not isinstance(error, Exception | None):
        raise error
    return error
