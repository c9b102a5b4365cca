"""A head that came before means the same again, and only where it is a whole request's."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter

from service.connections import Connection
from service.heads import _LONGEST, _MOST, Heads
from service.lingering import Lingering
from service.refusals import Refusals
from service.settings import Settings

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def echo(scope, receive, send) -> None:
    """Answers with what it was asked, and what came."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    query = scope["query_string"].decode()
    said = f"{scope['method']} {scope['path']} {query} {dict(scope['headers'])}".encode()
    length = (b"content-length", b"%d" % (len(said) + len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": said + body})


def connected(heads: Heads) -> tuple[Connection, Wire]:
    state = {
        "settings": Settings(),
        "refusals": Refusals(Counter("refused", "-", ["reason"], registry=CollectorRegistry())),
        "lingering": Lingering(0.0),
        "heads": heads,
        "entrance": lambda app: lambda cycle: app(cycle.scope, cycle.receive, cycle.send),
    }
    config = uvicorn.Config(echo, http=Connection, ws="none", proxy_headers=False, log_config=None)
    connection, wire = Connection(config, uvicorn.server.ServerState(), state), Wire()
    connection.connection_made(wire)
    return connection, wire


async def answers(*packets: bytes, heads: Heads) -> bytes:
    """What is written in answer to these packets on one connection."""
    connection, wire = connected(heads)
    for packet in packets:
        connection.data_received(packet)
        for _ in range(5):
            await asyncio.sleep(0)
    connection.connection_lost(None)
    return wire.written


def post(body: bytes, *more: str, path: str = "/denoise?model=a%20b") -> bytes:
    lines = f"POST {path} HTTP/1.1", "Host: x", *more, f"Content-Length: {len(body)}"
    return "\r\n".join((*lines, "", "")).encode() + body


SEVERAL = [
    post(b"one"),
    post(b"two"),
    post(b"three"),
    post(b"two"),
    post(b"\r\n\r\n"),
    b"GET /models%2Fa?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /models%2Fa?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    post(b"one", "Connection: keep-alive", "X-Twice: a", "X-Twice: b"),
    post(b"two", "Connection: keep-alive", "X-Twice: a", "X-Twice: b"),
]


async def test_what_came_before_is_answered_as_the_first_time():
    heads = Heads()
    first = [await answers(packet, heads=Heads()) for packet in SEVERAL]
    assert [await answers(packet, heads=heads) for packet in SEVERAL] == first
    assert [heads.known(packet) is not None for packet in SEVERAL] == [True] * len(SEVERAL)
    assert [await answers(packet, heads=heads) for packet in SEVERAL] == first
    assert await answers(*SEVERAL, heads=heads) == b"".join(first)
    assert await answers(*SEVERAL, *SEVERAL, heads=Heads()) == 2 * b"".join(first)


@pytest.mark.parametrize(
    "packet",
    [
        post(b"a") + post(b"b"),
        post(b"abc")[:-1],
        post(b"abc")[:20],
        post(b"abc", "Connection: close"),
        post(b"abc", "Connection: keep-alive, upgrade", "Upgrade: h2c"),
        post(b"abc", "Expect: 100-continue"),
        post(b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        post(b"abc", "X-Long: " + "a" * _LONGEST),
        b"nonsense\r\n\r\n",
    ],
    ids=["two", "cut", "half", "last", "upgrade", "expect", "1.0", "chunked", "long", "nonsense"],
)
async def test_what_is_not_one_whole_usual_request_is_the_parsers_each_time(packet):
    heads = Heads()
    first = await answers(packet, heads=heads)
    assert heads.known(packet) is None
    again = await answers(packet, heads=heads)
    assert again[:15] == first[:15]
    assert again == first or b"problem+json" in first, "which has an id of its own"


async def test_a_known_head_with_less_or_more_behind_it_is_the_parsers():
    heads = Heads()
    expected = await answers(post(b"abc"), heads=heads)
    packet = post(b"abc")
    assert heads.known(packet[:-1]) is None
    assert await answers(packet[:-1], packet[-1:], heads=heads) == expected
    assert await answers(packet[:-3], packet[-3:], heads=heads) == expected
    assert await answers(packet + packet, heads=heads) == 2 * expected
    assert await answers(packet + packet[:9], packet[9:], heads=heads) == 2 * expected


async def test_a_known_request_amid_another_is_its_body():
    heads = Heads()
    inner = post(b"abc")
    await answers(inner, heads=heads)
    outer = post(inner, path="/outer")
    begin = outer[: -len(inner)]
    whole = await answers(outer, heads=Heads())
    assert await answers(begin, inner, heads=heads) == whole
    assert await answers(outer[:10], outer[10:], heads=heads) == whole


async def test_requests_that_are_sent_ahead_are_answered_in_their_order():
    heads = Heads()
    packets = [post(b"%d" % i) for i in range(3)]
    expected = [await answers(packet, heads=heads) for packet in packets]
    connection, wire = connected(heads)
    for packet in packets:
        connection.data_received(packet)
    for _ in range(20):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    assert wire.written == b"".join(expected)


async def test_of_heads_that_never_come_again_there_is_an_end():
    heads = Heads()
    packets = [post(b"abc", f"X-Request-ID: {i}") for i in range(_MOST + 9)]
    await answers(*packets, heads=heads)
    assert 0 < len(heads._known) <= _MOST
