"""Whoever was let in is answered, however a listening socket comes to its end."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter

import pytest

from service.listening import let_in, let_nobody_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a filter of Linux's sockets")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nobody_who_was_let_in_is_reset(address):
    outcomes: Counter[str] = Counter()
    for _ in range(5):
        outcomes += crowd(address)
    assert outcomes["answered"] > 100, outcomes
    assert set(outcomes) <= {"answered", "ConnectionRefusedError", "TimeoutError"}, outcomes


def test_an_attempt_is_ignored_and_refused_later():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        let_nobody_in(listener)
        listener.setblocking(False)
        started = time.monotonic()
        threading.Timer(0.3, listener.close).start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname(), timeout=30)
        assert time.monotonic() - started > 0.25
        assert let_in([listener]) == []


def test_who_waits_when_the_filter_comes_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        callers = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        let_nobody_in(listener)
        listener.setblocking(False)
        taken = let_in([listener])
        assert {each.getpeername() for each in taken} == {each.getsockname() for each in callers}
        for each in taken:
            each.sendall(b"y")
        assert [each.recv(1) for each in callers] == [b"y"] * 3
        for each in [*taken, *callers]:
            each.close()


def crowd(address: str) -> Counter[str]:
    """What six callers saw who connect again and again until they are refused."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, 0), family=family, backlog=2048)
    where = listener.getsockname()[:2]
    outcomes: Counter[str] = Counter()

    def call() -> None:
        while True:
            try:
                with socket.create_connection(where, timeout=1) as caller:
                    caller.sendall(b"x")
                    outcomes["answered" if caller.recv(1) else "cut off"] += 1
            except OSError as error:
                outcomes[type(error).__name__] += 1
                return

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    serve(listener, 0.1)
    let_nobody_in(listener)
    serve(listener, 0.1)
    listener.setblocking(False)
    for connection in let_in([listener]):
        answer(connection)
    listener.close()
    for caller in callers:
        caller.join()
    return outcomes


def serve(listener: socket.socket, seconds: float) -> None:
    """Answers whoever comes in that time."""
    listener.settimeout(0.02)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer(listener.accept()[0])
        except TimeoutError:
            continue


def answer(connection: socket.socket) -> None:
    with connection:
        connection.setblocking(True)
        connection.recv(1)
        connection.sendall(b"y")
