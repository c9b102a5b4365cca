"""Hostile requests by the thousand, each repeatable by its number.

    python -m tests.faults.fuzz [REQUESTS] [SEED]

sends mutated valid requests, random bytes on every route and verb, hostile paths and broken HTTP
to a real server. No answer may be a 5xx other than 503 and 504, none may take longer than 5 s,
and the server's memory may grow by no more than 32 MB after its warm-up.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests import toys
from tests.faults.fuzz_requests import Fuzzed, Fuzzer
from tests.server import resident, serving

SLOW = 5.0
MOST_GROWTH = 32 * 2**20
CALLERS = 8


@dataclass
class Report:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    growth: int = 0

    def judge(self, case: Fuzzed, status: int, seconds: float, body: bytes) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)
        wrong = status >= 500 and status not in {503, 504}
        if wrong or seconds > SLOW or (case.framed and not status) or b"Traceback" in body:
            what = f"number {case.number}: {status} after {seconds:.1f} s: {case.sent[:300]!r}"
            self.faults.append(f"{what} -> {body[:200]!r}")

    def __str__(self) -> str:
        total = sum(self.statuses.values())
        counts = ", ".join(
            f"{status or 'closed'}: {n}" for status, n in sorted(self.statuses.items())
        )
        return (
            f"{total} requests ({counts}); {len(self.faults)} faults; the slowest took "
            f"{self.slowest:.2f} s; memory grew by {self.growth / 2**20:.1f} MB"
        )


class Caller:
    """One connection after another, each used for as long as it lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, case: Fuzzed) -> tuple[int, bytes]:
        """The status, or 0 if the connection was closed without one; and the body."""
        if not case.framed:  # so that what it leaves behind is not taken for another's
            await self.close()
        fresh = self._connection is None
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._connection
        try:
            writer.write(case.sent)
            if not case.framed and writer.can_write_eof():
                writer.write_eof()
            status, body, ends = await read_answer(reader, bodiless=case.sent.startswith(b"HEAD "))
        except (OSError, asyncio.IncompleteReadError):
            await self.close()
            # A connection that the server had just given up is no answer to this request.
            return (0, b"") if fresh or not case.framed else await self.ask(case)
        if ends or not case.framed:
            await self.close()
        return status, body

    async def close(self) -> None:
        if self._connection:
            self._connection[1].close()
            self._connection = None


async def read_answer(reader: asyncio.StreamReader, *, bodiless: bool) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection ends with it."""
    status = 100
    while status == 100:
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        status = int(lines[0].split()[1])
    ends = b"connection: close" in lines
    if bodiless or status in {204, 304}:
        return status, b"", ends
    if b"transfer-encoding: chunked" in lines:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return status, body, ends
    length = next(int(line[16:]) for line in lines if line.startswith(b"content-length: "))
    return status, await reader.readexactly(length), ends


async def fuzz(port: int, pid: int, *, requests: int, seed: int) -> Report:
    """Sends request 0, 1, 2 ... of the seed; memory counts from the first tenth on."""
    report, fuzzer, numbers = Report(), Fuzzer(seed), iter(range(requests))
    before = 0

    async def caller() -> None:
        nonlocal before
        caller = Caller(port)
        for number in numbers:
            case = fuzzer.make(number)
            started = time.perf_counter()
            status, body = await caller.ask(case)
            report.judge(case, status, time.perf_counter() - started, body)
            if number == requests // 10:
                before = resident(pid)
        await caller.close()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    report.growth = resident(pid) - before
    if report.growth > MOST_GROWTH:
        report.faults.append(f"memory grew by {report.growth} bytes")
    return report


def run(*, requests: int, seed: int, models: Path) -> Report:
    """Fuzzes a server of its own, with every kind of toy; its log must have no traceback."""
    toys.identity(models)
    toys.identity(models, "toy-colour", size=None, channels=3)
    toys.variational(models)
    toys.variational(models, "toy-mixture", psnr=5.0, prior=False, mixture=True, classes=("a", "b"))
    limits = {"head_timeout": 2, "max_body_bytes": 2**20, "max_pixels": 200_000, "max_images": 100}
    with serving(models, log_level="error", **limits) as server:
        report = asyncio.run(fuzz(server.port, server.process.pid, requests=requests, seed=seed))
        if "Traceback" in server.log:
            report.faults.append(server.log[:5000])
    return report


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    requests, seed = (*given, *(100_000, 0)[len(given) :])
    with tempfile.TemporaryDirectory() as folder:
        report = run(requests=requests, seed=seed, models=Path(folder))
    print(report)
    for fault in report.faults[:20]:
        print(fault)
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
