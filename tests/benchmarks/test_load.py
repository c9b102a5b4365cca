"""The load generator measures what it says, and counts what goes wrong."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import contextmanager

import pytest

from benchmarks.load import Request, closed_loop, complete, open_loop

ASK = Request.post("single", "/x", b"body", "text/plain")
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


@contextmanager
def answering(answer: bytes, *, delay: float = 0.0, closes: bool = False, ask: Request = ASK):
    """A server that reads requests of a known length, and gives that answer to each."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            left = b""
            while True:
                while len(left) < len(ask.wire):
                    chunk = self.request.recv(1 << 20)
                    if not chunk:
                        return
                    left += chunk
                assert left.startswith(b"POST /x HTTP/1.1\r\nHost: benchmark\r\n")
                left = left[len(ask.wire) :]
                time.sleep(delay)
                self.request.sendall(answer)
                if closes:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address
        server.shutdown()


def test_a_closed_loop_has_one_request_on_each_connection():
    with answering(GOOD, delay=0.02) as address:
        measured = closed_loop(address, [ASK], connections=3, seconds=0.5)
    assert measured.statuses == {200: measured.answered}
    assert 3 <= measured.answered <= 3 * 26
    assert min(measured.latencies["single"]) >= 0.02


def test_an_open_loop_counts_the_waiting_of_requests_that_a_slow_server_held_up():
    with answering(GOOD, delay=0.05) as address:
        measured = open_loop(address, [ASK], rate=60, connections=1, seconds=1.0, seed=1)
    # 60 a second come where 20 can be answered: the last has waited for all before it.
    assert 40 <= measured.answered <= 80
    assert max(measured.latencies["single"]) > 0.5
    assert measured.late_starts > 5


def test_other_statuses_and_broken_connections_are_failures_and_no_latencies():
    with answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as address:
        measured = closed_loop(address, [ASK], connections=2, seconds=0.1)
    assert measured.answered == 0
    assert measured.failed == measured.statuses[503] > 0
    with answering(b"", closes=True) as address:
        measured = closed_loop(address, [ASK], connections=1, seconds=0.1)
    assert measured.failed == measured.statuses[0] > 0


def test_a_server_that_closes_after_each_answer_is_connected_to_again():
    with answering(GOOD, closes=True) as address:
        measured = closed_loop(address, [ASK], connections=1, seconds=0.3)
    assert measured.answered > 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (GOOD, 200),
        (GOOD[:-1], None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n", None),
        (b"HTTP/1.1 404 X\r\nA: b\r\ncontent-length: 0\r\n\r\n", 404),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
    ],
)
def test_an_answer_is_complete_when_all_of_it_is_there(answer, status):
    assert complete(answer) == status


def test_a_body_that_no_buffer_holds_is_sent_whole():
    large = Request.post("batch", "/x", b"x" * 5_000_000, "text/plain")
    with answering(GOOD, ask=large) as address:
        measured = closed_loop(address, [large], connections=2, seconds=0.01)
    assert measured.answered >= 2
    assert measured.failed == 0
