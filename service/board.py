"""What the worker processes know of each other: a few numbers in memory that all of them share.

Each worker writes its own row and reads the others'; so does the supervisor. Times are of
`time.monotonic`, which is one clock for all processes of a machine and never jumps.
"""

from __future__ import annotations

import time
from collections.abc import MutableSequence
from enum import IntEnum, auto
from multiprocessing import get_context

from service.wanted import Wanted

SILENT = 1.5  # seconds without a sign of life after which a worker is not ready


class State(IntEnum):
    """What a worker says of itself."""

    STARTING = 0
    READY = auto()
    UNREADY = auto()  # a model does not give its known answer
    HUNG = auto()  # and has not for so long that only a new process can mend it
    STOPPING = auto()


_BEAT, _CHECKED, _STATE, _APPLIED, _COLUMNS = range(5)
_ASKED, _RESTARTS, _STOPPING, _SHARED = range(4)


class Board:
    """A row for each worker, and what is common to all."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        size = _SHARED + workers * _COLUMNS
        # Only processes that are started with it can share it: a worker alone needs a list.
        self._numbers: MutableSequence[float] = (
            get_context("spawn").RawArray("d", size) if workers > 1 else [0.0] * size
        )
        self.wanted = Wanted() if workers > 1 else None

    def row(self, slot: int) -> Row:
        """The row of one worker, 0 the first."""
        return Row(self._numbers, _SHARED + slot * _COLUMNS)

    @property
    def rows(self) -> list[Row]:
        return [self.row(slot) for slot in range(self.workers)]

    @property
    def asked(self) -> float:
        """When somebody last asked whether all are ready."""
        return self._numbers[_ASKED]

    def ask(self) -> float:
        """Asks every worker to check its models now; gives the time of the question."""
        self._numbers[_ASKED] = now = time.monotonic()
        return now

    @property
    def restarts(self) -> int:
        """How many workers were replaced so far; only the supervisor adds to it."""
        return int(self._numbers[_RESTARTS])

    @restarts.setter
    def restarts(self, count: int) -> None:
        self._numbers[_RESTARTS] = count

    @property
    def stopping(self) -> bool:
        """Whether all workers stop, and no other will come; only the supervisor says so."""
        return bool(self._numbers[_STOPPING])

    @stopping.setter
    def stopping(self, whether: bool) -> None:
        self._numbers[_STOPPING] = whether


class Row:
    """What one worker says of itself."""

    def __init__(self, numbers: MutableSequence[float], start: int) -> None:
        self._numbers = numbers
        self._start = start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self._start == other._start

    def __hash__(self) -> int:
        return self._start

    def silent(self, seconds: float) -> bool:
        """Whether it gave no sign of life for so long."""
        return time.monotonic() - self.beat > seconds

    def clear(self) -> None:
        """For the next process in this slot, which has said nothing yet."""
        for column in range(_COLUMNS):
            self._numbers[self._start + column] = 0.0

    @property
    def beat(self) -> float:
        """When its event loop last turned; 0 before the first time."""
        return self._numbers[self._start + _BEAT]

    @beat.setter
    def beat(self, when: float) -> None:
        self._numbers[self._start + _BEAT] = when

    @property
    def checked(self) -> float:
        """When the check of its models began that `state` is the outcome of."""
        return self._numbers[self._start + _CHECKED]

    @checked.setter
    def checked(self, when: float) -> None:
        self._numbers[self._start + _CHECKED] = when

    @property
    def state(self) -> State:
        return State(int(self._numbers[self._start + _STATE]))

    @state.setter
    def state(self, state: State) -> None:
        self._numbers[self._start + _STATE] = state

    @property
    def applied(self) -> int:
        """The last change of what is wanted that it has made its own; see `service.wanted`."""
        return int(self._numbers[self._start + _APPLIED])

    @applied.setter
    def applied(self, change: int) -> None:
        self._numbers[self._start + _APPLIED] = change
