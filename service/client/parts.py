"""An answer in parts (`multipart/mixed`), as its bytes come: progress first, the answer last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesHeaderParser

import httpx

Progress = Callable[[float], None]
"""Called with the share of the work that is done, from 0 to 1."""

MEDIA_TYPE = "multipart/mixed"


def are_in(answer: httpx.Response) -> bool:
    """Whether an answer comes in parts; errors that are known at once do not."""
    return bool(answer.headers.get("Content-Type", "").startswith(MEDIA_TYPE))


class Parts:
    """Reads the parts of an answer, each of which says its length; the last is the answer."""

    def __init__(self, whole: httpx.Response, told: Progress) -> None:
        self._whole = whole
        self._told = told
        self._unread = bytearray()
        self._head: Message | None = None
        self._answer: tuple[Message, bytes] | None = None

    def feed(self, data: bytes) -> None:
        """Takes the next bytes, wherever they were cut, and tells the progress that is in them.

        Raises:
            httpx.RemoteProtocolError: they are no parts of this service's.
        """
        self._unread += data
        try:
            shares = list(self._read())
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise self._broken(f"the parts of the answer cannot be read: {error}") from None
        for share in shares:
            self._told(share)

    def response(self) -> httpx.Response:
        """The last part as the answer that it is.

        Raises:
            httpx.RemoteProtocolError: the connection was closed before it came.
        """
        if self._answer is None:
            raise self._broken("the answer ended before its last part")
        head, body = self._answer
        status = self._whole.status_code
        if head.get_content_type() == "application/problem+json":
            status = json.loads(body)["status"]
        headers = {"X-Request-ID": self._whole.headers.get("X-Request-ID", "")} | dict(head.items())
        return httpx.Response(status, headers=headers, content=body, request=self._whole.request)

    def _read(self) -> Iterator[float]:
        """The shares that are told in what came so far."""
        while True:
            if self._head is None:
                head, blank, rest = bytes(self._unread).partition(b"\r\n\r\n")
                if not blank:
                    return
                self._head = BytesHeaderParser().parsebytes(head.lstrip().partition(b"\r\n")[2])
                self._unread = bytearray(rest)
            size = int(self._head.get("Content-Length", ""))
            if len(self._unread) < size:
                return
            head_of_it, body = self._head, bytes(self._unread[:size])
            del self._unread[:size]
            self._head = None
            if head_of_it.get_content_type() == "application/json" and (
                "Model-Name" not in head_of_it
            ):
                progress = json.loads(body)
                yield progress["done"] / progress["total"]
            else:
                self._answer = head_of_it, body

    def _broken(self, why: str) -> httpx.RemoteProtocolError:
        return httpx.RemoteProtocolError(why, request=self._whole.request)
