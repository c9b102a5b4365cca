"""Joins concurrent requests for the same graph into one run, with no delay when idle.

A run starts at once when the runner is free; what arrives meanwhile forms the next batch. One
batcher has at most one run in flight, and all batchers share the inference threads, so that a
flooded model holds one thread and no more. A run that is over sooner than another thread would
have begun it is made where it is, between two turns of the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.backlog import Backlog
from service.errors import DeadlineExceeded, Overloaded
from service.statistics import Statistics

Array = NDArray[Any]
Outputs = tuple[Array, ...]

# What the inputs of one run may hold, so that large images of many callers do not add up to more
# memory than there is: a network needs some 40 times as much. One image may be larger.
MOST_NUMBERS = 4_000_000

# A large request runs in turns with the small ones that come meanwhile: so long at a time, but
# no fewer images than a convolution runs best with (64 of 32x32, or 21 in colour).
_TURN_SECONDS = 0.002
_BEST_NUMBERS = 64 * 32 * 32

# A run may take so many times longer than runs of its size did before it is overdue.
_SLACK = 4.0

# Handing a run to another thread and back costs about as much (two cores, Linux, 2026-11).
_HOP_SECONDS = 0.0002


class Run(NamedTuple):
    """What a request got: its outputs `[B,...]`, and the seconds it waited and ran.

    `images` counts all that ran together, its own and others'; the most, where it was split.
    """

    outputs: Outputs
    queue: float
    infer: float
    images: int = 0


@dataclass(eq=False, slots=True)
class _Job:
    batch: Array
    answer: asyncio.Future[Run]
    deadline: float  # of time.monotonic
    seconds: float  # that one image is expected to run
    since: float
    begun: int = 0  # images that run or ran, or never will
    done: list[Run] = field(default_factory=list)

    @property
    def left(self) -> int:
        return len(self.batch) - self.begun

    def joins(self, other: _Job) -> bool:
        """Whether the two fit in one array."""
        mine, its = self.batch, other.batch
        return mine.shape[1:] == its.shape[1:] and mine.dtype == its.dtype


class _Part(NamedTuple):
    """The images of a job that are in one run."""

    job: _Job
    images: Array


class Batcher:
    """A queue in front of one function that maps a batch `[B,...]` to outputs `[B,...]`."""

    def __init__(
        self,
        function: Callable[[Array], Outputs],
        *,
        executor: Executor,
        max_batch: int,
        backlog: Backlog,
        seconds_per_byte: float = 0.0,
    ) -> None:
        self._function = function
        self._executor = executor
        self._max_batch = max_batch
        self.backlog = backlog
        self._small: deque[_Job] = deque()
        self._large: deque[_Job] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._seconds_per_byte = 0.0  # from one run to the next: what the backlog counts with
        self._pace = math.inf  # the function itself, undisturbed
        self._first = seconds_per_byte  # before anything ran
        self._due = math.inf
        self.statistics = Statistics()

    def overdue(self, patience: float) -> bool:
        """Whether the run under way should have ended at least `patience` seconds ago."""
        return time.perf_counter() > self._due + patience

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits to run."""
        return self._runner is None

    async def submit(self, batch: Array, *, deadline: float = math.inf) -> Run:
        """Runs `batch` `[B,...]`, B >= 1, joined with what else waits; splits it if it is large.

        What has not begun to run at `deadline`, of `time.monotonic`, never does.

        Raises:
            Overloaded: too much waits already, or so much that the answer would come too late.
            DeadlineExceeded: the deadline passed in the queue.
            Exception: whatever the function raised for this batch, and for this batch only.
        """
        came = time.perf_counter()
        count, size = len(batch), batch.nbytes
        expected = size * self._seconds_per_byte
        try:
            self.backlog.admit(count, size, expected, deadline)
        except Overloaded:
            self.statistics.fail.add(time.perf_counter() - came)
            raise
        loop = asyncio.get_running_loop()
        job = _Job(batch, loop.create_future(), deadline, expected / count, came)
        (self._small if 4 * count <= self._fitting(batch) else self._large).append(job)
        self.backlog.add(count, size, expected)
        if self._runner is None:
            # The task starts in the loop's next turn: whatever arrived in this one runs with it.
            self._runner = loop.create_task(self._drain())
        try:
            run = await job.answer
        except BaseException:  # its own fault, or the caller left
            self.statistics.fail.add(time.perf_counter() - came)
            raise
        finally:
            self._drop(job)  # what is left of it, if it failed half-way or the caller left
        total = time.perf_counter() - came
        self.statistics.answered(count, total=total, queue=run.queue, infer=run.infer)
        return run

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while parts := self._next():
                inputs = [part.images for part in parts]
                size = sum(images.nbytes for images in inputs)
                started = time.perf_counter()
                if size * self._pace < _HOP_SECONDS:
                    outcome = self._run(inputs)
                else:
                    try:
                        outcome = await loop.run_in_executor(self._executor, self._run, inputs)
                    except RuntimeError as error:  # the executor was shut down: nobody may hang
                        outcome = [error] * len(parts)
                seconds = time.perf_counter() - started
                self._learn(seconds / size)
                together = sum(map(len, inputs))
                for (job, images), result in zip(parts, outcome, strict=True):
                    self.backlog.done(job.seconds * len(images))
                    self._give(job, result, started - job.since, seconds, together)
                await asyncio.sleep(0)  # others have their turn, however much waits here
        finally:
            self._runner = None

    def _give(
        self, job: _Job, result: Outputs | Exception, queue: float, infer: float, together: int
    ) -> None:
        if job.answer.done():  # the caller left while it ran, or another part of it failed
            return
        if isinstance(result, Exception):
            job.answer.set_exception(result)
            return
        job.done.append(Run(result, queue, infer, together))
        if not job.left and sum(len(run.outputs[0]) for run in job.done) == len(job.batch):
            job.answer.set_result(job.done[0] if len(job.done) == 1 else _rejoin(job.done))

    def _next(self) -> list[_Part]:
        """What runs next: small requests first, and of the large ones what else fits.

        Half of a run is for the large ones while there are any, the oldest first, so that
        neither sort can keep the other waiting.
        """
        now = time.monotonic()
        heads = [queue[0] for queue in (self._small, self._large) if self._expects(queue, now)]
        if not heads:
            return []
        oldest = min(heads, key=lambda job: job.since)
        room = self._fitting(oldest.batch)
        kept = room // 2 if len(heads) == 2 and heads[1].joins(oldest) else 0
        parts: list[_Part] = []
        room = self._take(self._small, oldest, room - kept, parts, now) + kept
        room = self._take(self._large, oldest, room, parts, now)
        self._take(self._small, oldest, room, parts, now)
        return parts

    def _take(
        self, queue: deque[_Job], like: _Job, room: int, parts: list[_Part], now: float
    ) -> int:
        """Moves images like those of a job from the queue into a run; the room that is left."""
        while room and self._expects(queue, now) and (job := queue[0]).joins(like):
            images = (
                job.batch[job.begun : job.begun + room]
                if job.begun or job.left > room
                else job.batch
            )
            parts.append(_Part(job, images))
            job.begun += len(images)
            room -= len(images)
            self.backlog.remove(len(images), images.nbytes)
        return room

    def _expects(self, queue: deque[_Job], now: float) -> bool:
        """Whether somebody waits for what is at the head of the queue, once all others are gone."""
        while queue:
            job = queue[0]
            if job.left and now >= job.deadline:
                self._drop(job)
                if not job.answer.done():
                    job.answer.set_exception(DeadlineExceeded("the deadline passed in the queue"))
            if job.left:
                return True
            queue.popleft()
        return False

    def _fitting(self, batch: Array) -> int:
        """How many images like those of `batch` fit in one run."""
        numbers = max(1, math.prod(batch.shape[1:]))
        most = min(self._max_batch, MOST_NUMBERS // numbers)
        if self._seconds_per_byte:
            seconds = self._seconds_per_byte * numbers * batch.itemsize
            most = min(most, max(_BEST_NUMBERS // numbers, int(_TURN_SECONDS / seconds)))
        return max(1, most)

    def _drop(self, job: _Job) -> None:
        """What is left of a job shall never run."""
        if left := job.left:
            job.begun += left
            self.backlog.remove(left, job.batch.nbytes // len(job.batch) * left)
            self.backlog.done(job.seconds * left)
            self.statistics.dropped(left, expired=time.monotonic() >= job.deadline)

    def _learn(self, seconds_per_byte: float) -> None:
        """A moving average; bytes, since large images of a convolution take longer than small."""
        known = self._seconds_per_byte or seconds_per_byte
        seconds_per_byte = min(seconds_per_byte, _SLACK * known)  # one run that hung is no rule
        self._seconds_per_byte = known + 0.2 * (seconds_per_byte - known)

    def _run(self, inputs: Sequence[Array]) -> list[Outputs | Exception]:
        started = time.perf_counter()
        usual = self._seconds_per_byte or self._first
        self._due = started + _SLACK * usual * sum(part.nbytes for part in inputs)
        try:
            return self._run_once(inputs, started)
        finally:
            self._due = math.inf

    def _run_once(self, inputs: Sequence[Array], started: float) -> list[Outputs | Exception]:
        try:
            batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
            joined = time.perf_counter()
            outputs = self._function(batch)
            inferred = time.perf_counter()
            results = _split(outputs, [len(part) for part in inputs])
        except Exception as error:
            if len(inputs) == 1:
                return [error]
        else:
            join, infer, split = joined - started, inferred - joined, time.perf_counter() - inferred
            self.statistics.ran(len(batch), join=join, infer=infer, split=split)
            # One slow run, where another process had the processor, says little: it rises slowly.
            self._pace = min(1.1 * self._pace, infer / batch.nbytes)
            return results
        # One caller's fault is not its neighbours': each alone, and only the guilty one fails.
        return [result for batch in inputs for result in self._run([batch])]


def _split(outputs: Outputs, sizes: Sequence[int]) -> list[Outputs | Exception]:
    if len(sizes) == 1:
        return [outputs]
    ends = np.cumsum(sizes)
    return [
        tuple(output[end - size : end] for output in outputs)
        for size, end in zip(sizes, ends, strict=True)
    ]


def _rejoin(runs: Sequence[Run]) -> Run:
    columns = zip(*(run.outputs for run in runs), strict=True)
    outputs = tuple(np.concatenate(column) for column in columns)
    infer, images = sum(run.infer for run in runs), max(run.images for run in runs)
    return Run(outputs, runs[0].queue, infer, images)
