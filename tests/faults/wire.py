"""Bytes on a socket, exactly as a broken or hostile client would send them."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import time
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.server import Server


class Wire:
    """A connection, and the answers that came on it."""

    def __init__(self, url: str, *, timeout: float = 15) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout)
        self._left = b""

    def send(self, *parts: bytes) -> Wire:
        """Sends it all; a server that closes meanwhile is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(b"".join(parts))
        return self

    def answer(self) -> Answer | None:
        """The next answer; None if the server closed instead."""
        while b"\r\n\r\n" not in self._left:
            if not self._more():
                assert not self._left, f"half an answer: {self._left[:200]!r}"
                return None
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        while len(self._left) < length:
            assert self._more(), "half a body"
        body, self._left = self._left[:length], self._left[length:]
        return Answer(int(status.split()[1]), headers, body)

    def closed(self) -> bool:
        """Whether the server ends the connection, with nothing more said."""
        return self.answer() is None

    def _more(self) -> bool:
        try:
            data = self.socket.recv(2**16)
        except ConnectionResetError:
            return False
        self._left += data
        return bool(data)


class Answer:
    """One answer: its status, headers in lower case, and body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document that every refusal must be."""
        assert self.headers["content-type"] == "application/problem+json", self
        found = json.loads(self.body)
        assert found["status"] == self.status
        assert "Traceback" not in found["detail"]
        return found

    def __repr__(self) -> str:
        return f"{self.status} {self.headers} {self.body[:300]!r}"


@contextmanager
def wire(url: str, **options: Any):
    """A connection that is closed after the block."""
    connection = Wire(url, **options)
    try:
        yield connection
    finally:
        connection.socket.close()


def npy(count: int = 1, side: int = 12, value: int = 7) -> bytes:
    """A body that the toy identity takes."""
    file = io.BytesIO()
    np.save(file, np.full((count, side, side, 1), value, np.uint8))
    return file.getvalue()


def head(
    method: str = "POST",
    path: str = "/reconstruct?model=toy-identity&quality=false",
    *,
    length: int | None = None,
    **headers: str,
) -> bytes:
    """The head of a request, whose body is npy unless said otherwise."""
    lines = [f"{method} {path} HTTP/1.1", "Host: here"]
    given = {"content_type": "application/x-npy", **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def good(value: int = 7) -> bytes:
    """A whole good request."""
    body = npy(value=value)
    return head(length=len(body)) + body


def drip(connection: Wire, data: bytes, *, every: float, seconds: float) -> None:
    """Sends a byte at a time, until the server has enough of it."""
    deadline = time.monotonic() + seconds
    for byte in data:
        if time.monotonic() > deadline:
            return
        try:
            connection.socket.sendall(bytes([byte]))
        except OSError:
            return
        time.sleep(every)


def asked(server: Server, *sent: bytes):
    with wire(server.url) as connection:
        return connection.send(*sent).answer()


def refused(server: Server, reason: str) -> float:
    """How often it refused something for that reason."""
    text = server.get("/metrics").text
    name = f'autoencoder_refused_total{{reason="{reason}"}}'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))
