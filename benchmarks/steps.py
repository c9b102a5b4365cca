"""What one picture costs the interpreter: its bytecode instructions, counted, file by file.

    python -m benchmarks.steps [--connections 16] [--pictures 160]

Times on a machine that others use differ by a half from one minute to the next; these counts do
not, and most of a small picture's time is theirs. Sockets and libraries are left out: each
connection's transport is one that keeps nothing, and what C does counts as the call that it is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType, coroutine
from typing import Any
from unittest.mock import patch

import uvicorn
import uvloop

from benchmarks.contenders import OURS
from benchmarks.payloads import ROOT
from service.app import loaded_app
from service.board import Board
from service.connections import Connection
from service.server import Server
from service.settings import Settings

_WARM = 10  # rounds before anything is counted

# What the files of the service are for; what is not among them is the route's.
_PARTS = {
    "the connection: heads read and written, a task for each request": (
        *("connections", "cycles", "heads", "lateness", "lingering", "app"),
    ),
    "the picture: its body read, a PNG decoded and encoded, their bounds": (
        *("png", "images", "rows", "routes/bodies"),
    ),
    "around the route: id, gate, budget, deadline, phases, metrics, log": (
        *("middleware", "gate", "budget", "visit", "deadlines", "metrics", "tally", "totals"),
        *("routes/running", "routes/watching"),
    ),
    "the queue: a job, its turn, a share of its run, its statistics": (
        *("batching", "turns", "backlog", "statistics", "served", "model"),
    ),
}
_ROUTE = "the route: its options, the model, what to answer with, the answer's headers"
_OTHERS = "Python's and other libraries, called by all of these"


class Nowhere(asyncio.Transport):
    """A transport to nobody, which counts the good answers."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 9)})
        self.good = 0

    def write(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        """Looks at how an answer begins."""
        self.good += bytes(data[:15]) == b"HTTP/1.1 200 OK"

    def close(self) -> None:
        """There is nothing to close."""

    def is_closing(self) -> bool:
        """Never."""
        return False


class Steps:
    """A tracer that counts instructions and calls by the code that they are of."""

    def __init__(self) -> None:
        self.instructions: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()

    def __call__(self, frame: FrameType, event: str, _: object) -> Steps:
        """What `sys.settrace` takes."""
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.instructions[frame.f_code] += 1
        elif event == "call":
            self.calls[frame.f_code] += 1
        return self


@coroutine
def _turn() -> Generator[None, None, None]:
    """Lets the event loop turn once, by steps that are none of the service's."""
    yield


async def count(connections: int, rounds: int) -> Steps:
    """The steps of `rounds` pictures over each connection, which come all at once."""
    board = Board(1)
    # How often it looks for the next request, and at the models folder, is a matter of time.
    settings = Settings(linger_microseconds=0, reload_seconds=0)
    app = loaded_app(settings, board, 0)
    config = uvicorn.Config(app, http=Connection, ws="none", access_log=False, log_config=None)
    server = Server(config, board, 0, 0.0)
    config.load()
    server.lifespan = config.lifespan_class(config)
    with patch("service.worker.BEAT", 3600.0):  # the count of what was noted comes at the end
        await server.lifespan.startup()
        await asyncio.sleep(0)
    state, wires, protocols = server.server_state, list[Nowhere](), list[Connection]()
    for _ in range(connections):
        wires.append(Nowhere())
        protocols.append(Connection(config, state, server.lifespan.state))
        protocols[-1].connection_made(wires[-1])
    pictures = [request.wire for request in OURS.singles()]
    steps = Steps()

    async def round_of(tracer: Steps | None) -> None:
        end = state.total_requests + connections
        sys.settrace(tracer)
        for i, protocol in enumerate(protocols):
            protocol.data_received(pictures[i % len(pictures)])
        while state.total_requests < end:
            await _turn()
        sys.settrace(None)

    # Traced, a request takes so long that the watch over its caller would begin.
    with patch("service.routes.watching._INTERVAL", 10.0):
        for _ in range(_WARM):
            await round_of(None)
        app.state.metrics.settle()
        for _ in range(rounds):
            await round_of(steps)
        sys.settrace(steps)
        app.state.metrics.settle()
        sys.settrace(None)
    assert all(wire.good == _WARM + rounds for wire in wires)
    for protocol in protocols:
        protocol.connection_lost(None)
    await server.lifespan.shutdown()
    return steps


def table(steps: Steps, requests: int) -> str:
    """Markdown: each file's instructions and calls a request, the dearest first."""
    by_file: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for code, count_ in steps.instructions.items():
        if code.co_filename == __file__:
            continue
        by_file[_named(code)] += count_
        calls[_named(code)] += steps.calls[code]
    parts = dict.fromkeys([*_PARTS, _ROUTE, _OTHERS], 0)
    for name, instructions in by_file.items():
        parts[_part(name)] += instructions
    rows = [(name, by_file[name], calls[name]) for name, _ in by_file.most_common()]
    lines = ["| | instructions | calls |", "|---|---|---|"]
    lines += [f"| all | {by_file.total() / requests:.0f} | {calls.total() / requests:.0f} |"]
    lines += [f"| {part} | {counted / requests:.0f} | |" for part, counted in parts.items()]
    for name, instructions, called in rows:
        if instructions >= requests:
            lines.append(f"| {name} | {instructions / requests:.0f} | {called / requests:.1f} |")
    return "\n".join(lines)


def _named(code: CodeType) -> str:
    path = Path(code.co_filename)
    if path.is_relative_to(ROOT / "service"):
        return str(path.relative_to(ROOT))
    return "/".join(path.parts[-2:]) if path.is_absolute() else "made by the standard library"


def _part(name: str) -> str:
    """The part of the work that a file is for."""
    if not name.startswith("service/"):
        return _OTHERS
    module = name.removeprefix("service/").removesuffix(".py")
    return next((part for part, modules in _PARTS.items() if module in modules), _ROUTE)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=160, help="over all connections")
    given = parser.parse_args()
    rounds = -(-given.pictures // given.connections)
    steps = uvloop.run(count(given.connections, rounds))
    print(table(steps, given.connections * rounds))


if __name__ == "__main__":
    main()
