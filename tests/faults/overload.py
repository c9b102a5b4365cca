"""Open-loop load: requests come when they come, however slowly the answers do.

    python -m tests.faults.overload [SECONDS]

measures what a server carries with as many callers as it likes, then sends 1 to 10 times as much,
and prints the table of docs/operations.md.
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
from tests.faults.server import serving
from tests.faults.wire import head, npy

DEADLINE = 1.0
# A run of the model takes most of a request's time, as with the larger networks.
WORK = 6000


@dataclass
class Result:
    """What became of the requests: seconds from when each was due, by status; 0 is no answer."""

    seconds: float
    took: dict[int, list[float]] = field(default_factory=dict)

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


async def measure(url: str, *, seconds: float, factors: tuple[float, ...]) -> dict[float, Result]:
    """The peak, under 0, and what is left of it under so many times the load."""
    async with Callers(url, request(deadline=30)) as patient:
        await closed_loop(patient, count=8, seconds=seconds / 2)  # warm, and its rate known
        results = {0.0: await closed_loop(patient, count=8, seconds=seconds)}
    async with Callers(url, request()) as callers:
        for factor in factors:
            rate = factor * results[0.0].goodput
            results[factor] = await open_loop(callers, rate=rate, seconds=seconds)
    return results


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        toys.identity(Path(folder), work=WORK)
        with serving(Path(folder), threads=1, max_batch=1, log_level="warning") as server:
            results = asyncio.run(measure(server.url, seconds=seconds, factors=(1, 2, 5, 10)))
    peak = results[0.0].goodput
    print(f"peak: {peak:.1f} answers a second (8 callers)\n")
    print(
        "| load | sent | answered in time | of the peak | p50 | p99 | refused | in (median) | 504 | no answer |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for factor, found in results.items():
        if factor:
            late, lost = (len(found.took.get(status, [])) for status in (504, 0))
            print(
                f"| {factor:g}x | {found.sent / seconds:.0f}/s | {found.goodput:.0f}/s "
                f"| {found.goodput / peak:.0%} | {found.percentile(200, 50) * 1000:.0f} ms "
                f"| {found.percentile(200, 99) * 1000:.0f} ms "
                f"| {len(found.took.get(503, [])) / seconds:.0f}/s "
                f"| {found.percentile(503, 50) * 1000:.1f} ms | {late} | {lost} |"
            )


if __name__ == "__main__":
    main()
