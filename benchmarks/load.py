"""Loads an HTTP server over keep-alive connections, and measures how long each answer takes.

A bare epoll loop over sockets: a client library costs several times what the servers do. Closed
loop, every connection sends its next request when its answer is there. Open loop, requests come
when they come, at random moments of a fixed rate, and each is timed from the moment it was due:
one that had to wait because the server was slow waited because of the server (no coordinated
omission).
"""

from __future__ import annotations

import gc
import random
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Request:
    """One kind of request: the bytes that go over the wire."""

    kind: str
    wire: bytes

    @classmethod
    def post(
        cls, kind: str, path: str, body: bytes, content_type: str, accept: str = "*/*"
    ) -> Request:
        """A POST over a connection that stays open."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nAccept: {accept}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return cls(kind, head.encode() + body)


@dataclass
class Measured:
    """What a load run saw: seconds until each good answer by kind, and what went wrong."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    late_starts: int = 0

    @property
    def answered(self) -> int:
        """Good answers."""
        return sum(map(len, self.latencies.values()))

    @property
    def failed(self) -> int:
        """Answers with another status than 200, and connections that broke (status 0)."""
        return sum(count for status, count in self.statuses.items() if status != 200)


class _Connection:
    """One socket, with at most one request on it."""

    def __init__(self, address: tuple[str, int], poll: select.epoll) -> None:
        self._address = address
        self._poll = poll
        self._socket = socket.create_connection(address)
        self.request: Request | None = None
        self.due = 0.0
        self._ready()

    def _ready(self) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._poll.register(self._socket, select.EPOLLIN)
        self._unsent = memoryview(b"")
        self._answer = bytearray()

    @property
    def number(self) -> int:
        return self._socket.fileno()

    def send(self, request: Request, due: float) -> None:
        self.request, self.due = request, due
        self._unsent = memoryview(request.wire)
        self.flush()

    def flush(self) -> None:
        """Sends what the kernel takes; the rest when it says that there is room."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            self._poll.modify(self._socket, select.EPOLLIN | select.EPOLLOUT)
        else:
            if len(self.request.wire if self.request else b"") > _CHUNK:
                self._poll.modify(self._socket, select.EPOLLIN)

    def receive(self) -> int | None:
        """The status, once the whole answer is there; 0 if the server closed before that."""
        try:
            chunk = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return None
        except ConnectionError:
            return 0
        if not chunk:
            return 0
        self._answer += chunk
        status = complete(self._answer)
        if status is not None:
            self._answer.clear()
        return status

    def renew(self) -> None:
        """A new connection in place of one that broke."""
        self.close()
        self._socket = socket.create_connection(self._address)
        self._ready()

    def close(self) -> None:
        self._poll.unregister(self._socket)
        self._socket.close()


def complete(answer: bytes | bytearray) -> int | None:
    """The status of an HTTP answer if these bytes are all of it, else None."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(answer[: end + 2]).lower()
    place = head.find(b"\r\ncontent-length:")
    if place >= 0:
        length = int(head[place + 17 : head.index(b"\r\n", place + 2)])
        if len(answer) < end + 4 + length:
            return None
    elif b"\r\ntransfer-encoding: chunked" in head and not answer.endswith(b"\r\n0\r\n\r\n"):
        return None
    return int(head[9:12])


def closed_loop(
    address: tuple[str, int], requests: Sequence[Request], *, connections: int, seconds: float
) -> Measured:
    """Every connection asks, waits for the answer, and asks again, for that long."""
    order = [i * len(requests) // connections for i in range(connections)]
    measured = Measured()
    with _quiet(), select.epoll() as poll:
        peers = {c.number: c for c in (_Connection(address, poll) for _ in range(connections))}
        places = dict(zip(peers, order, strict=True))
        started = time.perf_counter()
        end = started + seconds

        def ask(connection: _Connection) -> None:
            place = places[connection.number]
            places[connection.number] = (place + 1) % len(requests)
            connection.send(requests[place], time.perf_counter())

        for connection in peers.values():
            ask(connection)
        busy = len(peers)
        while busy:
            for number, events in poll.poll(5):
                connection = peers[number]
                if not _advance(connection, events, measured):
                    continue
                _file_again(peers, number)
                places[connection.number] = places.pop(number)
                if time.perf_counter() < end:
                    ask(connection)
                else:
                    busy -= 1
            if time.perf_counter() > end + 30:
                break  # a server that hangs is reported by what it did not answer
        measured.seconds = time.perf_counter() - started
        for connection in peers.values():
            connection.close()
    return measured


def open_loop(
    address: tuple[str, int],
    requests: Sequence[Request],
    *,
    rate: float,
    connections: int,
    seconds: float,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Measured:
    """Requests come at random moments (Poisson), `rate` a second, whatever the server does.

    Each connection has had an answer before: what it takes to open them all at once is no latency.
    """
    measured = Measured()
    arrivals = list(_arrivals(requests, rate, seconds, weights, seed))
    with _quiet(), select.epoll() as poll:
        peers = {c.number: c for c in (_Connection(address, poll) for _ in range(connections))}
        _open(peers, requests[0], poll)
        free = list(peers.values())
        waiting: deque[tuple[float, Request]] = deque()
        started = time.perf_counter()
        i, busy = 0, 0
        while i < len(arrivals) or waiting or busy:
            now = time.perf_counter() - started
            while i < len(arrivals) and arrivals[i][0] <= now:
                waiting.append(arrivals[i])
                i += 1
            while waiting and free:
                due, request = waiting.popleft()
                free.pop().send(request, started + due)
                busy += 1
            measured.late_starts = max(measured.late_starts, len(waiting))
            # Waiting in the kernel is exact to a millisecond only: the last of it is spent awake.
            until_next = (
                arrivals[i][0] - (time.perf_counter() - started) if i < len(arrivals) else 1
            )
            for number, events in poll.poll(max(0.0, until_next - 0.001)):
                connection = peers[number]
                if _advance(connection, events, measured):
                    busy -= 1
                    free.append(connection)
                    _file_again(peers, number)
            if now > seconds + 30:
                break
        measured.seconds = time.perf_counter() - started
        for connection in peers.values():
            connection.close()
    return measured


def _open(peers: dict[int, _Connection], request: Request, poll: select.epoll) -> None:
    """Has every connection answered once; what fails here fails again, and is counted, later."""
    for connection in peers.values():
        connection.send(request, 0.0)
    unanswered, end = set(peers), time.perf_counter() + 30
    while unanswered and time.perf_counter() < end:
        for number, events in poll.poll(1):
            connection = peers[number]
            if _advance(connection, events, Measured()):
                unanswered.discard(number)
                _file_again(peers, number)


def _file_again(peers: dict[int, _Connection], number: int) -> None:
    """A connection that was renewed has another number."""
    connection = peers.pop(number)
    peers[connection.number] = connection


def _advance(connection: _Connection, events: int, measured: Measured) -> bool:
    """Moves a connection on; true when its request is over, well or badly."""
    if events & select.EPOLLOUT:
        connection.flush()
    if not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
        return False
    status = connection.receive()
    if status is None:
        return False
    request = connection.request
    connection.request = None
    if request is None:  # an idle connection that the server closed
        connection.renew()
        return False
    measured.statuses[status] = measured.statuses.get(status, 0) + 1
    if status == 200:
        taken = time.perf_counter() - connection.due
        measured.latencies.setdefault(request.kind, []).append(taken)
    elif status == 0:
        connection.renew()
    return True


def _arrivals(
    requests: Sequence[Request],
    rate: float,
    seconds: float,
    weights: Sequence[float] | None,
    seed: int,
) -> Iterator[tuple[float, Request]]:
    chance = random.Random(seed)
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield moment, chance.choices(requests, weights)[0]
        moment += chance.expovariate(rate)


class _quiet:  # noqa: N801 - reads as a statement
    """No garbage collection of the client's own while it measures."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
