"""Heads without an end, and what two parsers could read differently: 400 or 431, and nobody else harmed."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest

from tests.faults.wire import asked, good, head, npy, refused, wire
from tests.server import resident


def test_a_flood_of_headers_is_431(server):
    flood = "".join(f"X-{i}: 1\r\n" for i in range(200))
    answer = asked(server, f"GET /models HTTP/1.1\r\nHost: here\r\n{flood}\r\n".encode())
    assert answer.status == 431
    assert "100 headers" in answer.problem["detail"]


def test_a_header_without_an_end_is_431_long_before_it_fills_the_memory(server):
    before = resident(server.process.pid)
    with wire(server.url) as connection:
        connection.send(b"GET /models HTTP/1.1\r\nHost: here\r\nX-Long: ")
        for _ in range(100):
            connection.send(b"x" * 10_000)
            time.sleep(0.002)
        answer = connection.answer()
    assert answer is None or answer.status == 431  # None: reset while it still wrote
    assert refused(server, "head") >= 1
    assert resident(server.process.pid) - before < 10 * 2**20


def test_a_body_beside_the_end_of_its_head_counts_as_body(server):
    body = npy(400)  # larger than a head may be
    begin = head(length=len(body))
    with wire(server.url) as connection:
        connection.send(begin[:20])
        time.sleep(0.1)
        connection.send(begin[20:] + body)
        assert "400 images" in connection.answer().problem["detail"]


def test_a_url_without_an_end_is_431(server):
    answer = asked(server, b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    assert answer.status == 431
    assert answer.problem


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: +3\r\n\r\nabc",
        b"Content-Length: 0x3\r\n\r\nabc",
        b"Content-Length : 3\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
        b" folded: 1\r\n\r\n",
        b"X: a\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_what_two_parsers_could_read_differently_is_400_and_ends_the_connection(server, framing):
    with wire(server.url) as connection:
        smuggled = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
        connection.send(b"POST /denoise HTTP/1.1\r\nHost: here\r\n", framing, smuggled)
        answer = connection.answer()
        assert answer is not None
        assert answer.status in {400, 415}, answer
        assert answer.problem["request_id"]
        if answer.status == 400:
            assert connection.closed(), "what was smuggled gets no answer"


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 500, b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])  # fmt: skip
def test_other_protocols_get_a_400_and_the_end(server, data):
    with wire(server.url) as connection:
        answer = connection.send(data).answer()
        assert answer.status == 400
        assert "HTTP/1.1" in answer.problem["detail"]
        assert connection.closed()


def test_pipelined_requests_are_answered_in_their_order(server):
    with wire(server.url) as connection:
        connection.send(*(good(value) for value in range(20)))
        for value in range(20):
            answer = connection.answer()
            assert answer.status == 200
            assert np.load(io.BytesIO(answer.body)).ravel()[0] == value


def test_a_flood_of_pipelined_requests_ends_the_connection(server):
    with wire(server.url) as connection:
        connection.send(b"GET /health/ready HTTP/1.1\r\nHost: here\r\n\r\n" * 5000)
        answers = 0
        while (answer := connection.answer()) is not None:
            assert answer.status == 200
            answers += 1
        assert answers < 200
    assert refused(server, "pipelined") >= 1


def test_garbage_after_a_good_request_is_never_taken_for_its_answer(server):
    with wire(server.url) as connection:
        connection.send(good(5), b"\0garbage\r\n\r\n")
        answer = connection.answer()
        if answer is not None:
            assert answer.status == 200
            assert np.load(io.BytesIO(answer.body)).ravel()[0] == 5
            last = connection.answer()
            assert last is None or last.status == 400


def test_expecting_to_go_on_is_answered_before_the_body_comes(server):
    body = npy()
    with wire(server.url) as connection:
        connection.send(head(length=len(body), expect="100-continue"))
        assert connection.answer().status == 100
        assert connection.send(body).answer().status == 200
    answer = asked(server, head(length=2**30, expect="100-continue"))
    assert answer.status == 413, "refused before a byte of it was sent"


def test_an_upgrade_is_answered_as_if_it_were_not_asked_for(server):
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    assert asked(server, head("GET", "/health/live", **upgrade)).status == 200
