"""An answer on its connection: its head and body in one write, and no header that smuggles."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from service.cycles import Cycle, lines_of


class Wire:
    """A transport that keeps what is written, call by call."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, parts) -> None:
        self.written.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def answered(*messages, method="GET", keep_alive=True, default=()) -> tuple[Wire, list[str]]:
    """What these messages of an application write, and whether the answer was complete."""
    wire, completed = Wire(), []

    async def send() -> None:
        cycle = Cycle(
            {"type": "http", "method": method},
            wire,
            FlowControl(wire),
            list(default),
            lambda: completed.append("yes"),
            keep_alive=keep_alive,
        )
        for message in messages:
            await cycle.send(message)

    asyncio.run(send())
    return wire, completed


def start(*headers, status=200) -> dict:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content=b"", *, more=False) -> dict:
    return {"type": "http.response.body", "body": content, "more_body": more}


def test_an_answer_whose_length_is_known_is_one_write():
    wire, completed = answered(start((b"content-length", b"3")), body(b"abc"))
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"]
    assert completed
    assert not wire.closed


def test_an_answer_in_parts_begins_at_once_and_is_chunked():
    wire, _ = answered(start())
    assert wire.written == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
    wire, completed = answered(start(), body(b"0123456789abcdef", more=True), body(b"", more=True))
    assert wire.written[1:] == [b"10\r\n0123456789abcdef\r\n"]
    assert not completed
    wire, completed = answered(start(), body(b"ab"))
    assert wire.written[1:] == [b"2\r\nab\r\n0\r\n\r\n"]
    assert completed


@pytest.mark.parametrize(
    ("method", "status", "head"),
    [
        ("HEAD", 200, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"),
        ("GET", 204, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", 304, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
def test_an_answer_without_a_body_is_its_head_alone(method, status, head):
    headers = [(b"content-length", b"3")] if method == "HEAD" else []
    content = b"abc" if method == "HEAD" else b""
    wire, completed = answered(start(*headers, status=status), body(content), method=method)
    assert b"".join(wire.written) == head
    assert completed


@pytest.mark.parametrize("control", [b"\r", b"\n", b"\r\nset-cookie: a=b", b"\0", b"\x7f", b"\x1b"])
@pytest.mark.parametrize("where", ["name", "value"])
def test_a_header_with_a_control_character_is_never_written(control, where):
    header = (b"a" + control, b"b") if where == "name" else (b"a", b"b" + control)
    with pytest.raises(RuntimeError, match="characters"):
        answered(start(header), body())


def test_a_tab_and_letters_beyond_ascii_are_of_a_value():
    wire, _ = answered(start((b"a", b"b\tc\xe9"), (b"content-length", b"0")), body())
    assert b"a: b\tc\xe9\r\n" in wire.written[0]


@pytest.mark.parametrize("content", [b"ab", b"abcd"])
def test_a_body_of_another_length_than_said_is_a_fault(content):
    with pytest.raises(RuntimeError, match=r"shorter|longer"):
        answered(start((b"content-length", b"3")), body(content))


def test_what_comes_out_of_order_is_a_fault():
    with pytest.raises(RuntimeError, match="unexpected"):
        answered(body())
    with pytest.raises(RuntimeError, match="unexpected"):
        answered(start(), start())
    with pytest.raises(RuntimeError, match="complete"):
        answered(start(), body(), body())


def test_a_connection_ends_with_its_last_answer_and_says_so_once():
    wire, _ = answered(start((b"content-length", b"0")), body(), keep_alive=False)
    assert wire.written[0].count(b"connection: close\r\n") == 1
    assert wire.closed
    stopping = [(b"connection", b"close")]
    wire, _ = answered(start((b"content-length", b"0")), body(), default=stopping)
    assert wire.written[0].count(b"connection: close\r\n") == 1
    assert wire.closed


def received(cycle: Cycle, *, many: int = 1) -> list[asyncio.Task]:
    """So many who receive at once, and wait by now."""
    return [asyncio.create_task(cycle.receive()) for _ in range(many)]


def request(**options) -> tuple[Wire, Cycle]:
    """A request of which nothing but its head has come."""
    wire = Wire()
    scope = {"type": "http", "method": "POST"}
    return wire, Cycle(scope, wire, FlowControl(wire), [], lambda: None, **options)


@pytest.mark.anyio
async def test_a_body_that_is_there_is_received_at_once_and_its_end_awaits_the_caller():
    _, cycle = request()
    cycle.add(b"a")
    cycle.add(b"bc")
    cycle.more_body = False
    cycle.wake()
    assert await cycle.receive() == {"type": "http.request", "body": b"abc", "more_body": False}
    (waiting,) = received(cycle)
    await asyncio.sleep(0)
    assert not waiting.done()
    cycle.disconnected = True
    cycle.wake()
    assert await waiting == {"type": "http.disconnect"}


@pytest.mark.anyio
async def test_who_waits_for_a_body_is_woken_by_each_part_of_it():
    _, cycle = request()
    for part, more in ((b"ab", True), (b"c", False)):
        (waiting,) = received(cycle)
        await asyncio.sleep(0)
        assert not waiting.done()
        cycle.add(part)
        cycle.more_body = more
        cycle.wake()
        assert await waiting == {"type": "http.request", "body": part, "more_body": more}


@pytest.mark.parametrize("end", ["disconnected", "response_complete"])
@pytest.mark.anyio
async def test_all_who_wait_learn_that_it_is_over(end):
    _, cycle = request()
    waiting = received(cycle, many=2)
    await asyncio.sleep(0)
    setattr(cycle, end, True)
    cycle.wake()
    assert await asyncio.gather(*waiting) == [{"type": "http.disconnect"}] * 2
    assert await cycle.receive() == {"type": "http.disconnect"}


@pytest.mark.anyio
async def test_a_caller_that_asks_first_is_told_to_send_its_body_once():
    wire, cycle = request(expect_100_continue=True)
    cycle.wake()
    await cycle.receive()
    cycle.wake()
    await cycle.receive()
    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]


@pytest.mark.anyio
async def test_a_caller_that_asks_first_and_is_refused_is_not_told_to_send():
    wire, cycle = request(expect_100_continue=True)
    await cycle.send(start((b"content-length", b"0"), status=413))
    cycle.wake()
    await cycle.receive()
    assert not any(b"100 Continue" in written for written in wire.written)


LINES = b"content-length: 3\r\nx-a: b\r\n"


def whole(lines=LINES, parts=(b"abc",), *, default=(), **options) -> tuple[Wire, Cycle, bool]:
    """A cycle that was given a whole answer, and whether it took it."""
    wire = Wire()
    flow = FlowControl(wire)
    cycle = Cycle({"type": "http", "method": "POST"}, wire, flow, list(default), lambda: None)
    for name, value in options.items():
        setattr(flow if name == "write_paused" else cycle, name, value)
    return wire, cycle, cycle.answer(lines, parts)


@pytest.mark.parametrize("default", [(), [(b"date", b"today")], [(b"connection", b"close")]])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("sizes", [[3], [100_000], [128, 100_000], [128, 3]])
def test_a_whole_answer_is_written_as_one_that_is_sent_in_order(default, keep_alive, sizes):
    parts = [memoryview(b"a" * size) for size in sizes]
    headers = [(b"content-length", b"%d" % sum(sizes)), (b"x-a", b"b")]
    content = body(b"".join(parts))
    expected, _ = answered(start(*headers), content, keep_alive=keep_alive, default=default)
    wire, cycle, taken = whole(lines_of(headers), parts, default=default, keep_alive=keep_alive)
    assert taken
    assert cycle.response_complete
    assert (wire.written, wire.closed) == (expected.written, expected.closed)


def test_a_whole_answer_waits_for_a_slow_reader_and_is_not_written_for_one_who_left():
    wire, cycle, taken = whole(write_paused=True)
    assert (taken, cycle.response_started, wire.written) == (False, False, [])
    wire, cycle, taken = whole(disconnected=True)
    assert (taken, cycle.response_started, wire.written) == (True, False, [])


@pytest.mark.anyio
async def test_a_body_that_is_all_there_is_taken_once_and_then_nobody_is_awaited_but_the_caller():
    _, cycle = request()
    assert cycle.take() is None
    cycle.give(b"abc")
    assert cycle.take() == b"abc"
    assert cycle.take() is None
    (waiting,) = received(cycle)
    await asyncio.sleep(0)
    assert not waiting.done()
    cycle.disconnected = True
    cycle.wake()
    assert await waiting == {"type": "http.disconnect"}


@pytest.mark.anyio
@pytest.mark.parametrize("sizes", [[1] * 70_000, [20_000, 1, 1, 50_000, 1], [0, 3]])
async def test_the_parts_of_a_body_are_put_together_and_a_crumb_is_no_part_of_its_own(sizes):
    _, cycle = request()
    content = bytes(i % 251 for i in range(sum(sizes)))
    end = 0
    for size in sizes:
        cycle.add(content[end : end + size])
        end += size
    assert cycle.held == len(content)
    assert len(cycle.came) <= 5
    cycle.more_body = False
    cycle.wake()
    assert await cycle.receive() == {"type": "http.request", "body": content, "more_body": False}
    assert cycle.held == 0
