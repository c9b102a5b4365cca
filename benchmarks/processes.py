"""Server processes: started on the cores they may use, waited for, weighed and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.payloads import ROOT

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Weight:
    """What a process and its children hold and have used."""

    cpu_seconds: float
    resident_bytes: int
    processes: int


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    name: str
    address: tuple[str, int]
    pid: int
    seconds_to_ready: float

    def weight(self) -> Weight:
        """CPU seconds so far and resident bytes (shared pages shared out), of all its processes."""
        pids = descendants(self.pid)
        cpu, resident = 0.0, 0
        for pid in pids:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
                cpu += (int(fields[11]) + int(fields[12])) / _TICKS
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
            resident += int(line.split()[1]) * 1024
        return Weight(cpu, resident, len(pids))


def descendants(root: int) -> list[int]:
    """A process and all that it started, and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], ())
    return found


@contextmanager
def serving(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    cores: Sequence[int],
    ready: Callable[[tuple[str, int]], bool],
    environment: Mapping[str, str] | None = None,
    patience: float = 120.0,
) -> Iterator[Running]:
    """Runs a server on these cores while the block runs.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message has the end of its log.
    """
    address = ("127.0.0.1", port)
    if _listens(address):
        raise RuntimeError(f"port {port} is taken: give another with --port")
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, cores)), *command],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            start_new_session=True,
        )
        try:
            while not (_listens(address) and ready(address)):
                if process.poll() is not None or time.perf_counter() - started > patience:
                    log.seek(0)
                    tail = log.read().decode(errors="replace")[-2000:]
                    raise RuntimeError(f"{name} did not come up:\n{tail}")
                time.sleep(0.02)
            yield Running(name, address, process.pid, time.perf_counter() - started)
        finally:
            _stop(process)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends it and everything it started; some servers leave their workers behind."""
    left = descendants(process.pid)
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        end = time.monotonic() + patience
        while time.monotonic() < end:
            process.poll()
            left = [pid for pid in left if Path(f"/proc/{pid}").exists()]
            if not left:
                return
            time.sleep(0.05)


@contextmanager
def client(cores: Sequence[int]) -> Iterator[ProcessPoolExecutor]:
    """A process of its own for the load, on cores that the servers do not use."""
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=os.sched_setaffinity, initargs=(0, list(cores))
    ) as pool:
        yield pool


def python() -> str:
    """This interpreter."""
    return sys.executable
