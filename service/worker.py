"""This process as one of the workers: it beats, checks its models, and answers for all."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from dataclasses import dataclass
from multiprocessing import parent_process

from service.board import SILENT, Board, Row, State
from service.canaries import FINE, OK, Canaries
from service.catalog import Catalog
from service.following import Follower
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)

BEAT = 0.25  # seconds between two signs of life
_ROUND = 30.0  # seconds between two checks when nobody asks: for the metrics and the supervisor
_SICK_ROUND = 1.0  # the same while something is wrong
_LOOK = 1.0  # seconds between two looks for runs that hang
_TELL = 2.0  # seconds between two updates of the gauges that all workers share


@dataclass(frozen=True)
class Readiness:
    """What every model of this worker, and every worker, says: `ok`, or what is wrong."""

    models: dict[str, str]
    workers: dict[str, str]

    @property
    def ready(self) -> bool:
        fine = all(outcome in FINE for outcome in self.models.values())
        return fine and all(state == OK for state in self.workers.values())


class Worker:
    """The signs of life of this process, and what it knows of the others."""

    def __init__(
        self, catalog: Catalog, metrics: Metrics, settings: Settings, board: Board, slot: int
    ) -> None:
        self._settings = settings
        self._board = board
        self._own = board.row(slot)
        self._others = [row for row in board.rows if row != self._own]
        self._catalog, self._metrics = catalog, metrics
        self._canaries = Canaries(catalog, metrics, patience=settings.ready_timeout)
        self._tasks: list[asyncio.Task[None]] = []
        self._check: asyncio.Task[dict[str, str]] | None = None  # the last that nobody waits for
        self._next_look = self._next_check = 0.0
        self.check_model = self._canaries.of
        self.follower = Follower(catalog, settings, board, self._own)

    def start(self) -> None:
        """Begins to beat; its models just gave their known answers to be admitted."""
        self._own.state = State.READY
        self._own.checked = self._own.beat = now = time.monotonic()
        self._next_check = now + _ROUND
        loops = [self._beat, self.follower.follow, self.follower.watch]
        if self._others:
            loops.append(self._tell)
        self._tasks = [asyncio.create_task(loop()) for loop in loops]

    async def stop(self) -> None:
        """Ends what `start` began."""
        self.retire()
        self._metrics.settle()
        tasks = [*self._tasks, self._check] if self._check else self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._canaries.close(), return_exceptions=True)

    def retire(self) -> None:
        """From now on it is not ready, though it goes on answering."""
        self._own.state = State.STOPPING

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._own.state is State.STOPPING

    @property
    def live(self) -> bool:
        """False once only a new process can help."""
        return self._own.state is not State.HUNG

    async def readiness(self) -> Readiness:
        """Asks every worker to check its models now, and waits for what they find."""
        asked = self._board.ask()
        models = await self._checked()
        deadline = asked + self._settings.ready_timeout + BEAT
        while any(_is_checking(row, asked) for row in self._others):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        workers = {
            str(i): _describe(row, 0.0 if row == self._own else asked)
            for i, row in enumerate(self._board.rows, 1)
        }
        return Readiness(models, workers)

    async def _checked(self) -> dict[str, str]:
        """The outcome for this worker's models, which the others can read from then on."""
        outcomes = await self._canaries.check()
        if self._own.state is not State.STOPPING:
            faulty = self._canaries.faulty_since
            if faulty is None:
                self._own.state = State.READY
            elif time.monotonic() - faulty < self._settings.request_timeout:
                self._own.state = State.UNREADY
            else:  # whoever waited for it has given up
                self._own.state = State.HUNG
        self._own.checked = self._canaries.began
        pause = _ROUND if self._own.state is State.READY else _SICK_ROUND
        self._next_check = time.monotonic() + pause
        return outcomes

    def _is_due(self, now: float) -> bool:
        """Whether the models are to be checked: it is time, somebody asks, or a run hangs."""
        if now >= self._next_check or self._board.asked > self._own.checked + BEAT:
            return True
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK
        return self._canaries.overdue()

    async def _beat(self) -> None:
        """All that is done again and again, in one place: a process at rest is seldom woken."""
        supervisor = parent_process()
        while True:
            self._own.beat = now = time.monotonic()
            self._metrics.settle()  # for the others; and notes of requests take memory
            if (self._check is None or self._check.done()) and self._is_due(now):
                self._check = asyncio.create_task(self._checked())
            if supervisor is not None and not supervisor.is_alive():
                log.error("the supervisor is gone: stopping")
                supervisor = None
                signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(BEAT)

    async def _tell(self) -> None:
        """What this worker alone can count, for whichever of them is asked for the metrics."""
        while True:
            self._metrics.refresh(self._catalog, self._board.restarts)
            await asyncio.sleep(_TELL)


def _is_checking(row: Row, asked: float) -> bool:
    able = row.state in (State.READY, State.UNREADY) and not row.silent(SILENT)
    return able and row.checked + BEAT < asked


def _describe(row: Row, asked: float) -> str:
    if row.state is State.STARTING:
        return "starting"
    if row.state is State.STOPPING:
        return "stopping"
    if row.silent(SILENT):
        return f"silent for {time.monotonic() - row.beat:.1f} s"
    if row.state is State.READY:
        return OK if row.checked + BEAT >= asked else "late: its models are still being checked"
    return f"a model is not ready: its log and /metrics say which ({row.state.name.lower()})"
