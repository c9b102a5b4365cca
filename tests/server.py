"""A real service: processes of its own, on a free port, killed with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

# The console script of this environment, wherever it is installed.
AUTOENCODER = [sys.executable, "-c", "from service.cli import main; main()"]


class Server:
    """`autoencoder serve`, with its log in a file; settings are given by their names."""

    def __init__(self, models: Path, **settings: Any) -> None:
        self.port = settings.pop("port", None) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        stderr = settings.pop("stderr", self._log)
        stdout = settings.pop("stdout", self._log)
        program = settings.pop("program", [*AUTOENCODER, "serve"])
        self.start_seconds = 0.0
        given = {"port": self.port, "models_dir": models, **settings}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AUTOENCODER_")}
        environment |= {f"AUTOENCODER_{name.upper()}": str(v) for name, v in given.items()}
        self.process = subprocess.Popen(
            program, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )

    @property
    def slowness(self) -> float:
        """How many times longer things take here than on two free processors; at least 1.

        What is promised in seconds is promised of a machine that has time for it.
        """
        return max(1.0, self.start_seconds / 2.0)

    @property
    def log(self) -> str:
        """What it has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    @property
    def workers(self) -> list[int]:
        """The processes that answer: its children with several workers, else itself."""
        found = children(self.process.pid)
        return [pid for pid in found if "spawn_main" in command(pid)] or [self.process.pid]

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One GET on a connection of its own."""
        return httpx.get(f"{self.url}{path}", **{"timeout": 10, **options})

    def ready(self) -> bool:
        """What `/health/ready` says just now; no answer within 5 s is no."""
        try:
            return self.get("/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def wait_ready(self, seconds: float = 240) -> float:
        """The seconds until it was ready."""

        def ready() -> bool:
            assert self.process.poll() is None, (
                f"it ended with {self.process.returncode}: {self.log}"
            )
            return self.ready()

        return until(ready, seconds, lambda: f"not ready: {self.log[-3000:]}")

    def wait_full(
        self, workers: int, *, without: set[int] = frozenset(), seconds: float = 120
    ) -> float:
        """The seconds until it is ready with so many workers, none of them in `without`."""

        def full() -> bool:
            pids = set(self.workers)
            return len(pids) == workers and not pids & set(without) and self.ready()

        return until(full, seconds, lambda: f"workers {self.workers}: {self.log[-3000:]}")

    def stop(self, seconds: float = 60) -> int:
        """Its exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Ends it and its workers, whatever state they are in."""
        everyone = [self.process.pid, *children(self.process.pid)]
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self._log.close()


@contextmanager
def serving(models: Path, **settings: Any) -> Iterator[Server]:
    """A service that is ready, and gone after the block."""
    server = Server(models, **settings)
    try:
        server.start_seconds = server.wait_ready()
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until(true: Callable[[], object], seconds: float, why: Callable[[], str] = str) -> float:
    """The seconds until `true()` was."""
    started = time.monotonic()
    while not true():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds:g} s. {why()}"
        time.sleep(0.05)
    return time.monotonic() - started


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that still are."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def command(pid: int) -> str:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def resident(pid: int) -> int:
    """The bytes of memory that a process holds for itself (not shared with others)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def descriptors(pid: int) -> int:
    """How many files and sockets a process holds open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
