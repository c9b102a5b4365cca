"""Open-loop load: requests come when they come, however slowly the answers do.

    python -m tests.faults.overload [ROUNDS]

measures what a server carries and, in turns, what is left of it at ten times the load; the last
row is the median. The thread that runs the model is on a processor for so many percent of the
flood, and for so many ready to run while others have the processors: the rest of it, it waits for
the server's own doing. What the server itself spends on refusing, whoever else has the machine, is
in the answers in time for each second of its processor time, beside those at the peak.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.load import complete
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
    spent: float = 0.0  # seconds that all threads of the server were on a processor
    ran: float = 0.0  # seconds that its busiest was
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

    @property
    def thrift(self) -> float:
        """Answers in time for each second of the server's processor time."""
        return self.goodput * self.seconds / self.spent if self.spent else 0.0

    def percentile(self, status: int, percent: int) -> float:
        """Seconds; 0 where there was none."""
        took = self.took.get(status, [])
        return statistics.quantiles(took, n=100)[percent - 1] if len(took) > 1 else 0.0


class Caller(asyncio.Protocol):
    """One connection: streams would cost as much processor time as the server has to refuse."""

    def __init__(self) -> None:
        self.transport = asyncio.Transport()
        self.status = asyncio.get_running_loop().create_future()
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if (status := complete(self._answer)) is not None:
            self._answer = b""
            self.status.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.status.done():
            self.status.set_result(0)

    async def call(self, request: bytes) -> int:
        """The status of its answer; 0 if the connection broke."""
        self.status = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.status


class Callers:
    """Connections to one server that are opened when needed, and used again."""

    def __init__(self, url: str, request: bytes) -> None:
        self._host, port = url.removeprefix("http://").split(":")
        self._port = int(port)
        self._request = request
        self._idle: list[Caller] = []

    async def call(self) -> int:
        """One request; its status, or 0 if the connection broke."""
        while self._idle:  # the server may have closed one that was long unused
            caller = self._idle.pop()
            if not caller.transport.is_closing():
                break
        else:
            loop = asyncio.get_running_loop()
            _, caller = await loop.create_connection(Caller, self._host, self._port)
        status = await caller.call(self._request)
        if status:
            self._idle.append(caller)
        return status

    async def __aenter__(self) -> Callers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self._idle:
            caller.transport.close()


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


async def watched(pid: int, load: Awaitable[Result]) -> Result:
    """A load, and what the server's threads had of the processors meanwhile."""
    before = processor_seconds(pid)
    result = await load
    threads = [
        (ran - before.get(thread, (0, 0))[0], ready - before.get(thread, (0, 0))[1])
        for thread, (ran, ready) in processor_seconds(pid).items()
    ]
    result.spent = sum(ran for ran, _ in threads)
    result.ran, result.ready = max(threads)
    return result


async def measure(
    url: str, pid: int, *, rounds: int = 1, seconds: float = 3
) -> list[tuple[Result, Result]]:
    """In turns: the peak, with as many callers as keep it busy, and ten times as much."""
    found = []
    async with Callers(url, request(deadline=30)) as patient, Callers(url, request()) as callers:

        async def peak() -> Result:
            return await watched(pid, closed_loop(patient, count=8, seconds=seconds))

        await closed_loop(patient, count=8, seconds=seconds / 2)  # warm, and its rate known
        for _ in range(rounds):
            before = await peak()
            flood = open_loop(callers, rate=10 * before.goodput, seconds=seconds)
            found.append((before, await watched(pid, flood)))
        found.append((await peak(), Result(seconds)))
    return found


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        toys.identity(Path(folder), work=WORK)
        limits = {"threads": 1, "max_batch": 1, "log_level": "warning"}
        with (
            serving(Path(folder), **limits) as server,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            found = runner.run(measure(server.url, server.process.pid, rounds=rounds))
    peaks = [peak for peak, _ in found]
    rows = [
        (
            before.goodput, flood.sent / flood.seconds, flood.goodput,
            100 * flood.goodput / statistics.mean((before.goodput, after.goodput)),
            100 * flood.thrift / statistics.mean((before.thrift, after.thrift)),
            1000 * flood.percentile(200, 99), 1000 * flood.percentile(503, 50),
            len(flood.took.get(504, [])), len(flood.took.get(0, [])),
            100 * flood.ran / flood.seconds, 100 * flood.ready / flood.seconds,
        )
        for before, after, (_, flood) in zip(peaks, peaks[1:], found, strict=False)
    ]  # fmt: skip
    print(
        "| peak/s | sent/s | in time/s | of the peaks around it % | by processor time % | p99 ms "
        "| refused in ms | 504 | lost | runs % | ready % |"
    )
    print("|---" * 11 + "|")
    for row in (*rows, tuple(map(statistics.median, zip(*rows, strict=True)))):
        print("|", " | ".join(f"{value:.3g}" for value in row), "|")


if __name__ == "__main__":
    main()
