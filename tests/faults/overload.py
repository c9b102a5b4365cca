"""Open-loop load: requests come when they come, however slowly the answers do.

    python -m tests.faults.overload [ROUNDS]

measures what a server carries and, in turns, what is left of it at ten times the load; the last
row is the median. The thread that runs the model is on a processor for so many percent of the
flood, and for so many ready to run while others have the processors: the rest of it, it waits for
the server's own doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests import toys
from tests.faults.wire import head, npy
from tests.server import serving

DEADLINE = 1.0
# A run of the model takes most of a request's time, as with the larger networks.
WORK = 6000


@dataclass
class Result:
    """What became of the requests: seconds from when each was due, by status; 0 is no answer."""

    seconds: float
    took: dict[int, list[float]] = field(default_factory=dict)
    ran: float = 0.0  # seconds that the server's busiest thread was on a processor
    ready: float = 0.0  # seconds that it could have been, and others were

    def add(self, status: int, seconds: float) -> None:
        self.took.setdefault(status, []).append(seconds)

    @property
    def sent(self) -> int:
        return sum(map(len, self.took.values()))

    @property
    def goodput(self) -> float:
        """Answers in time, a second."""
        return sum(took <= DEADLINE for took in self.took.get(200, [])) / self.seconds

    def percentile(self, status: int, percent: int) -> float:
        """Seconds; 0 where there was none."""
        took = self.took.get(status, [])
        return statistics.quantiles(took, n=100)[percent - 1] if len(took) > 1 else 0.0


class Callers:
    """Connections to one server that are opened when needed, and used again."""

    def __init__(self, url: str, request: bytes) -> None:
        self._host, port = url.removeprefix("http://").split(":")
        self._port = int(port)
        self._request = request
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self) -> int:
        """One request; its status, or 0 if the connection broke."""
        while self._idle:  # the server may have closed one that was long unused
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                break
            writer.close()
        else:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(self._request)
            lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            length = next(int(x[16:]) for x in lines if x.startswith(b"content-length: "))
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return 0
        self._idle.append((reader, writer))
        return int(lines[0].split()[1])

    async def __aenter__(self) -> Callers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def closed_loop(callers: Callers, *, count: int, seconds: float) -> Result:
    """So many callers, each of whom sends its next request after its last answer."""
    result, end = Result(seconds), time.perf_counter() + seconds

    async def one() -> None:
        while (started := time.perf_counter()) < end:
            result.add(await callers.call(), time.perf_counter() - started)

    await asyncio.gather(*(one() for _ in range(count)))
    return result


async def open_loop(callers: Callers, *, rate: float, seconds: float) -> Result:
    """Requests at random (Poisson), so many a second on average; timed from when each was due."""
    result, calls = Result(seconds), set[asyncio.Task[None]]()
    rng = random.Random(0)
    started = time.perf_counter()
    due = 0.0

    async def one(due: float) -> None:
        result.add(await callers.call(), time.perf_counter() - started - due)

    while (due := due + rng.expovariate(rate)) < seconds:
        await asyncio.sleep(max(0.0, due - (time.perf_counter() - started)))
        task = asyncio.create_task(one(due))
        calls.add(task)
        task.add_done_callback(calls.discard)
    await asyncio.gather(*calls)
    return result


def request(model: str = "toy-identity", *, deadline: float = DEADLINE) -> bytes:
    """One image for a model, with a deadline."""
    body = npy()
    path = f"/reconstruct?model={model}&quality=false"
    return head(path=path, length=len(body), x_request_timeout=f"{deadline:g}") + body


def processor_seconds(pid: int) -> dict[str, tuple[float, float]]:
    """What each thread of a process had of the processors so far, and what it waited for them."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        ran, ready, _ = map(int, (thread / "schedstat").read_text().split())
        found[thread.name] = (ran / 1e9, ready / 1e9)
    return found


async def measure(
    url: str, pid: int, *, rounds: int = 1, seconds: float = 3
) -> list[tuple[Result, Result]]:
    """In turns: the peak, with as many callers as keep it busy, and ten times as much."""
    found = []
    async with Callers(url, request(deadline=30)) as patient, Callers(url, request()) as callers:
        await closed_loop(patient, count=8, seconds=seconds / 2)  # warm, and its rate known
        for _ in range(rounds):
            peak = await closed_loop(patient, count=8, seconds=seconds)
            before = processor_seconds(pid)
            flood = await open_loop(callers, rate=10 * peak.goodput, seconds=seconds)
            flood.ran, flood.ready = max(
                (ran - before[thread][0], ready - before[thread][1])
                for thread, (ran, ready) in processor_seconds(pid).items()
                if thread in before
            )
            found.append((peak, flood))
        found.append((await closed_loop(patient, count=8, seconds=seconds), Result(seconds)))
    return found


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        toys.identity(Path(folder), work=WORK)
        limits = {"threads": 1, "max_batch": 1, "log_level": "warning"}
        with serving(Path(folder), **limits) as server:
            found = asyncio.run(measure(server.url, server.process.pid, rounds=rounds))
    peaks = [peak.goodput for peak, _ in found]
    rows = [
        (
            before, flood.sent / flood.seconds, flood.goodput,
            100 * flood.goodput / statistics.mean((before, after)),
            1000 * flood.percentile(200, 99), 1000 * flood.percentile(503, 50),
            len(flood.took.get(504, [])), len(flood.took.get(0, [])),
            100 * flood.ran / flood.seconds, 100 * flood.ready / flood.seconds,
        )
        for before, after, (_, flood) in zip(peaks, peaks[1:], found, strict=False)
    ]  # fmt: skip
    print(
        "| peak/s | sent/s | in time/s | of the peaks around it % | p99 ms | refused in ms | 504 | lost "
        "| runs % | ready % |"
    )
    print("|---" * 10 + "|")
    for row in (*rows, tuple(map(statistics.median, zip(*rows, strict=True)))):
        print("|", " | ".join(f"{value:.3g}" for value in row), "|")


if __name__ == "__main__":
    main()
