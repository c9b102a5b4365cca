"""uvicorn's manager of worker processes, made to keep three promises more.

As it is (0.54) it notices no event loop that stands still, since a thread of the worker answers
its pings; it ends the whole service, with status 0, when the replacement of a dead worker cannot
start; and a worker that does not stop keeps it waiting for ever. Here each worker beats on a
board that all share, and one that does not is replaced.
"""

from __future__ import annotations

import copy
import logging
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from socket import socket

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from service import metrics
from service.app import loaded_app
from service.board import Board, State
from service.errors import AutoencoderError
from service.server import Server
from service.settings import Settings

log = logging.getLogger(__name__)

_TICK = 0.5  # seconds between two looks at the workers; uvicorn's
_COMPUTING = 10  # a silent worker that computes, perhaps one long step, gets so many times longer
_STARTING = 30  # and so does one that starts, perhaps from a slow disk
_LONGEST_PAUSE = 30.0  # seconds between two tries to replace a worker that cannot start


class WorkerProcess(Process):
    """One worker, in one slot of the board."""

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket],
        settings: Settings,
        board: Board,
        slot: int,
        failures: int = 0,
    ) -> None:
        config = copy.copy(config)
        config.app = partial(loaded_app, settings, board, slot)
        self._board, self._slot = board, slot
        self.row = board.row(slot)
        self.row.clear()
        self.failures = failures  # starts in a row that failed before this one
        self.ended = 0.0
        self.retired = False
        self._settings = settings
        self._last = (0.0, 0)
        self._silent = self._idle = 0.0
        super().__init__(config, sockets)

    @property
    def server(self) -> uvicorn.Server:
        """The server in the new process."""
        if self._server is None:
            self._server = Server(self.config, self._board, self._slot, self._settings.lame_duck)
        return self._server

    def target(self, sockets: list[socket] | None = None) -> None:
        """What the new process does."""
        try:
            super().target(sockets)
        except AutoencoderError as error:
            log.error("%s", error)
            sys.exit(STARTUP_FAILURE)

    def lost(self) -> str:
        """Why it must be replaced, though it has not ended; empty if it need not.

        Counted in looks, not in seconds: when the whole machine was paused, nobody is to blame.
        """
        beat, computed = self.row.beat, _processor_time(self.pid or 0)
        same_beat, idle = beat == self._last[0], computed == self._last[1]
        self._last = (beat, computed)
        self._silent = self._silent + _TICK if same_beat else 0.0
        self._idle = self._idle + _TICK if same_beat and idle else 0.0
        patience = self._settings.worker_timeout * (1 if beat else _STARTING)
        if self._idle >= patience:
            return f"it gave no sign of life for {self._idle:g} s, and computed nothing"
        if self._silent >= patience * _COMPUTING:
            return f"it gave no sign of life for {self._silent:g} s"
        return ""


class Supervisor(Multiprocess):
    """Starts a worker for each slot, and another for each that ends or is lost."""

    processes: list[WorkerProcess]  # type: ignore[assignment]

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket], settings: Settings, board: Board
    ) -> None:
        super().__init__(config, sockets)
        self._settings = settings
        self._board = board
        self.failed = False
        """Whether the service could not start."""

    def init_processes(self) -> None:
        """Starts them all."""
        self.processes = [self._start(slot) for slot in range(self._board.workers)]

    def keep_subprocess_alive(self) -> None:
        """One look at every worker."""
        for slot, process in enumerate(self.processes):
            if process.process.is_alive():
                if why := process.lost():
                    log.error("worker %d (process %d) is killed: %s", slot + 1, process.pid, why)
                    process.kill()
                    process.process.join(_TICK)
                elif process.row.state is State.HUNG and self._can_spare(process):
                    log.error("worker %d (process %d) is replaced: hung", slot + 1, process.pid)
                    process.retired = True
                    os.kill(process.process.pid or 0, signal.SIGTERM)
                if process.process.is_alive():
                    continue
            self._replace(slot, process)

    def _replace(self, slot: int, dead: WorkerProcess) -> None:
        never_beat = not dead.row.beat
        if not dead.ended:
            dead.ended = time.monotonic()
            log.error("worker %d (process %d) ended: %s", slot + 1, dead.pid, dead.exitcode)
            # Its gauges go, its counts stay.
            mark_process_dead(dead.pid, os.environ[metrics.FOLDER])  # type: ignore[no-untyped-call]
            if never_beat and dead.exitcode == STARTUP_FAILURE and not self._has_served():
                self.failed = True
                self.should_exit.set()
                return
        failures = dead.failures + 1 if never_beat else 0
        if time.monotonic() - dead.ended >= min(_LONGEST_PAUSE, 2**failures - 1):
            self._board.restarts += 1
            self.processes[slot] = self._start(slot, failures)

    def _start(self, slot: int, failures: int = 0) -> WorkerProcess:
        process = WorkerProcess(
            self.config, self.sockets, self._settings, self._board, slot, failures
        )
        process.start()
        return process

    def _has_served(self) -> bool:
        return self._board.restarts > 0 or any(process.row.beat for process in self.processes)

    def _can_spare(self, process: WorkerProcess) -> bool:
        """Whether nobody else is on the way out or in, so that the others serve meanwhile."""
        others = [other.row.state for other in self.processes if other is not process]
        return not process.retired and not {State.STARTING, State.STOPPING} & set(others)

    def terminate_all(self) -> None:
        """Asks every worker to stop."""
        self._board.stopping = True
        for sock in self.sockets:  # else callers would wait for workers that are gone
            sock.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Waits for the workers, but for none that is lost, and not for ever."""
        grace = self._settings.lame_duck + (self.config.timeout_graceful_shutdown or 0) + 10
        deadline = time.monotonic() + grace
        while alive := [process for process in self.processes if process.process.is_alive()]:
            for process in alive:
                if process.lost() or time.monotonic() > deadline:
                    process.kill()
            time.sleep(_TICK)

    def restart_all(self) -> None:
        """SIGHUP: nothing to do, since the models folder is watched."""

    def handle_ttin(self) -> None:
        """SIGTTIN: the number of workers is a setting."""

    def handle_ttou(self) -> None:
        """SIGTTOU: the number of workers is a setting."""


def _processor_time(pid: int) -> int:
    """The processor time that a process has used, in some unit; where unknown, it always grows."""
    try:
        # After the name in parentheses, which may hold anything: fields 14 and 15 of proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic_ns()
    return int(fields[11]) + int(fields[12])
