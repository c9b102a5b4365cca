"""Bodies that are larger, deeper or hollower than they say: a clear 4xx before they cost anything."""

from __future__ import annotations

import gzip
import struct
import time
import zlib

import pytest

from tests.faults.wire import asked, head, npy
from tests.server import resident


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
