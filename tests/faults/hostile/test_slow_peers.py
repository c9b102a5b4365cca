"""Peers that drip, stall, stay silent or do not read: each is given its time, and no more."""

from __future__ import annotations

import io
import time

import httpx
import numpy as np

from tests import toys
from tests.faults.wire import drip, good, head, refused, wire
from tests.server import descriptors, serving


def test_a_head_that_drips_is_408(server):
    with wire(server.url) as connection:
        started = time.monotonic()
        drip(connection, head(length=10), every=0.05, seconds=5)
        answer = connection.answer()
        assert answer.status == 408, answer
        assert "1 s" in answer.problem["detail"]
        assert time.monotonic() - started < 4
        assert connection.closed()
    assert refused(server, "slow_head") >= 1


def test_a_connection_that_says_nothing_is_closed(server):
    with wire(server.url) as connection:
        started = time.monotonic()
        assert connection.closed()
        assert 0.5 < time.monotonic() - started < 4


def test_a_connection_is_kept_for_five_seconds_after_each_answer(server):
    with wire(server.url) as connection:
        assert connection.send(head("GET", "/health/live")).answer().status == 200
        time.sleep(3)
        assert connection.send(head("GET", "/health/live")).answer().status == 200
        started = time.monotonic()
        assert connection.closed()
        assert 4.5 < time.monotonic() - started < 8


def test_a_body_that_stalls_is_408(server):
    with wire(server.url) as connection:
        started = time.monotonic()
        answer = connection.send(head(length=1000), b"abc").answer()
        assert answer.status == 408, answer
        assert "1024 bytes a second" in answer.problem["detail"]
        assert time.monotonic() - started < 6
        assert connection.closed()
    assert refused(server, "slow_body") >= 1


def test_a_body_that_drips_for_ever_is_408_too(server):
    with wire(server.url) as connection:
        connection.send(head(length=2**20))
        for _ in range(200):  # fast enough, but never done
            connection.send(bytes(500))
            time.sleep(0.05)
            if refused_now(connection):
                break
        answer = connection.answer()
    assert answer is not None
    assert answer.status == 408
    assert "3 s" in answer.problem["detail"]


def refused_now(connection) -> bool:
    connection.socket.settimeout(0.001)
    try:
        return connection._more() or True
    except TimeoutError:
        return False
    finally:
        connection.socket.settimeout(15)


def test_a_body_that_goes_on_after_its_refusal_is_not_read_for_ever(server):
    with wire(server.url) as connection:
        answer = connection.send(head(length=2**40), bytes(10_000)).answer()
        assert answer.status == 413
        started = time.monotonic()
        assert connection.closed()
        assert time.monotonic() - started < 6


def test_a_socket_that_is_half_closed_is_ended_and_forgotten(server):
    before = descriptors(server.process.pid)
    for sent in (b"", head(length=10), good()):
        with wire(server.url) as connection:
            connection.send(sent).socket.shutdown(1)
            answer = connection.answer()
            assert answer is None or answer.status == 200
    deadline = time.monotonic() + 5
    while descriptors(server.process.pid) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descriptors(server.process.pid) <= before


def test_an_answer_that_nobody_reads_is_given_up(server):
    picture = io.BytesIO()
    np.save(picture, np.zeros((1, 300, 300, 3), np.uint8))
    body = picture.getvalue()
    with wire(server.url) as connection:
        connection.socket.setsockopt(1, 8, 2048)  # a receive buffer as small as may be
        for _ in range(12):  # a megabyte of latents each: no buffer holds them all
            connection.send(head(length=len(body), path="/encode?model=toy-colour"), body)
        deadline = time.monotonic() + 8
        while not refused(server, "slow_reader") and time.monotonic() < deadline:
            time.sleep(0.1)
    assert refused(server, "slow_reader") == 1


def test_a_thousand_idle_connections_keep_nobody_waiting(tmp_path):
    toys.identity(tmp_path)
    with serving(tmp_path) as server:
        idle = [wire(server.url) for _ in range(1000)]
        for connection in idle:
            connection.__enter__()
        try:
            started = time.monotonic()
            for value in range(20):
                with wire(server.url) as connection:
                    assert connection.send(good(value)).answer().status == 200
            assert time.monotonic() - started < 5
            assert descriptors(server.process.pid) > 1000
        finally:
            for connection in idle:
                connection.__exit__(None, None, None)


def test_more_connections_than_may_be_are_told_so(tmp_path):
    toys.identity(tmp_path)
    with serving(tmp_path, max_connections=10) as server:
        idle = [wire(server.url) for _ in range(10)]
        opened = [connection.__enter__() for connection in idle]
        with wire(server.url) as one_more:
            answer = one_more.answer()
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.problem
        for connection in opened:
            connection.socket.close()
        time.sleep(0.2)
        assert httpx.get(f"{server.url}/health/live").status_code == 200
