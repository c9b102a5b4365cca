"""Whatever comes over the wire: a clear 4xx, and the service goes on as before."""

from __future__ import annotations

import gzip
import io
import struct
import time
import zlib

import httpx
import numpy as np
import pytest

from tests import toys
from tests.faults.wire import drip, good, head, npy, wire
from tests.server import Server, descriptors, resident, serving

LIMITS = {
    "head_timeout": 1,
    "body_timeout": 3,
    "write_timeout": 1,
    "max_body_bytes": 2**20,
    "max_pixels": 100_000,
    "max_images": 50,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One real server for all: each fault must leave it as it was."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    toys.identity(models, "toy-colour", size=None, channels=3)
    with serving(models, **LIMITS) as server:
        yield server


@pytest.fixture(autouse=True)
def goes_on(server: Server):
    """After every fault here the server still answers rightly, and logged no fault of its own."""
    yield
    with wire(server.url) as connection:
        answer = connection.send(good(9)).answer()
    assert answer.status == 200, answer
    assert np.load(io.BytesIO(answer.body)).ravel()[0] == 9
    assert "Traceback" not in server.log, server.log


def asked(server: Server, *sent: bytes):
    with wire(server.url) as connection:
        return connection.send(*sent).answer()


def refused(server: Server, reason: str) -> float:
    """How often it refused something for that reason."""
    text = server.get("/metrics").text
    name = f'autoencoder_refused_total{{reason="{reason}"}}'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(server):
    answer = asked(server, head(length=2**20 + 1))
    assert answer.status == 413
    assert "1048576 bytes" in answer.problem["detail"]


def test_a_chunked_body_is_refused_where_it_becomes_too_large(server):
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    answer = asked(server, head(transfer_encoding="chunked"), chunk * 17)
    assert answer.status == 413
    assert answer.problem


def test_a_compressed_bomb_is_refused_at_the_limit_and_not_unpacked(server):
    bomb = gzip.compress(bytes(200 * 2**20), 9)
    before = resident(server.process.pid)
    path = "/v2/models/toy-identity/infer"
    sent = head(path=path, length=len(bomb), content_encoding="gzip") + bomb
    assert asked(server, sent).status == 413
    assert resident(server.process.pid) - before < 30 * 2**20
    rest = head(length=len(bomb), content_encoding="gzip") + bomb
    answer = asked(server, rest)
    assert answer.status == 415, "the other routes take nothing compressed"
    assert "as it is" in answer.problem["detail"]


def test_a_bomb_of_pixels_is_refused_by_its_header(server):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes(30_001 * 30_000 // 8), 9)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )
    before = resident(server.process.pid)
    answer = asked(server, head(length=len(bomb), content_type="image/png"), bomb)
    assert answer.status == 413
    assert "30000x30000" in answer.problem["detail"]
    assert resident(server.process.pid) - before < 20 * 2**20


def test_an_array_that_claims_more_than_it_has_is_refused(server):
    body = npy().replace(b"(1, 12, 12, 1)", b"(9**9,12,12,1)")
    answer = asked(server, head(length=len(body)), body)
    assert answer.status == 400
    assert answer.problem


def test_too_many_images_are_refused(server):
    body = npy(51)
    answer = asked(server, head(length=len(body)), body)
    assert answer.status == 413
    assert "up to 50" in answer.problem["detail"]


@pytest.mark.parametrize("path", ["/denoise", "/decode", "/v2/models/toy-identity/infer"])
def test_json_as_deep_as_the_body_allows_is_400(server, path):
    for opening in (b"[", b'{"images":'):
        body = opening * (900_000 // len(opening))
        started = time.monotonic()
        answer = asked(
            server, head(path=path, length=len(body), content_type="application/json"), body
        )
        assert answer.status == 400, answer
        assert time.monotonic() - started < 3


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


def test_a_url_without_an_end_is_431(server):
    answer = asked(server, b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    assert answer.status == 431
    assert answer.problem


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
