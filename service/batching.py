"""Joins concurrent requests for the same graph into one run, with no delay when idle.

A run starts at once when the runner is free; what arrives meanwhile forms the next batch. One
batcher has at most one run in flight, and all batchers share the inference threads, so that a
flooded model holds one thread and no more.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Run:
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
    seconds: float  # that it is expected to run
    since: float = field(default_factory=time.perf_counter)
    queued: bool = True


class Batcher:
    """A queue in front of one function that maps a batch `[B,...]` to outputs `[B,...]`."""

    def __init__(
        self,
        function: Callable[[Array], Outputs],
        *,
        executor: Executor,
        max_batch: int,
        backlog: Backlog,
    ) -> None:
        self._function = function
        self._executor = executor
        self._max_batch = max_batch
        self.backlog = backlog
        self._jobs: deque[_Job] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._seconds_per_byte = 0.0
        self.statistics = Statistics()

    async def submit(self, batch: Array, *, deadline: float = math.inf) -> Run:
        """Runs `batch` `[B,...]`, B >= 1, joined with what else waits; splits it if it is large.

        What has not begun to run at `deadline`, of `time.monotonic`, never does.

        Raises:
            Overloaded: too much waits already, or so much that the answer would come too late.
            DeadlineExceeded: the deadline passed in the queue.
            Exception: whatever the function raised for this batch, and for this batch only.
        """
        came = time.perf_counter()
        expected = batch.nbytes * self._seconds_per_byte
        try:
            self.backlog.admit(len(batch), batch.nbytes, expected, deadline)
        except Overloaded:
            self.statistics.fail.add(time.perf_counter() - came)
            raise
        loop = asyncio.get_running_loop()
        step = self._fitting(batch)
        jobs = [
            _Job(part, loop.create_future(), deadline, expected * len(part) / len(batch))
            for part in (batch[i : i + step] for i in range(0, len(batch), step))
        ]
        self._jobs.extend(jobs)
        self.backlog.add(len(batch), batch.nbytes, expected)
        if self._runner is None:
            # The task starts in the loop's next turn: whatever arrived in this one runs with it.
            self._runner = loop.create_task(self._drain())
        try:
            runs = [await job.answer for job in jobs]
        except BaseException:  # its own fault, or the caller left
            self.statistics.fail.add(time.perf_counter() - came)
            raise
        finally:
            for job in jobs:  # a caller that left, or a split request that failed half-way
                self._drop(job)
                if not job.answer.cancel() and not job.answer.cancelled():
                    job.answer.exception()  # seen: a second fault of one request is no news
        run = runs[0] if len(runs) == 1 else _rejoin(runs)
        total = time.perf_counter() - came
        self.statistics.answered(len(batch), total=total, queue=run.queue, infer=run.infer)
        return run

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while jobs := self._next():
                inputs = [job.batch for job in jobs]
                started = time.perf_counter()
                try:
                    outcome = await loop.run_in_executor(self._executor, self._run, inputs)
                except RuntimeError as error:  # the executor was shut down: nobody may hang
                    outcome = [error] * len(jobs)
                seconds = time.perf_counter() - started
                images = sum(map(len, inputs))
                self._learn(seconds / sum(part.nbytes for part in inputs))
                for job, result in zip(jobs, outcome, strict=True):
                    self.backlog.done(job.seconds)
                    if job.answer.done():  # the caller left while it ran
                        continue
                    if isinstance(result, Exception):
                        job.answer.set_exception(result)
                    else:
                        job.answer.set_result(Run(result, started - job.since, seconds, images))
        finally:
            self._runner = None

    def _next(self) -> list[_Job]:
        """The jobs at the head of the queue that fit in one run; those nobody waits for go."""
        jobs: list[_Job] = []
        size = 0
        now = time.monotonic()
        while self._jobs:
            job = self._jobs[0]
            if now >= job.deadline:
                self._expire(job)
            if job.queued:
                joins = not jobs or (
                    job.batch.shape[1:] == jobs[0].batch.shape[1:]
                    and job.batch.dtype == jobs[0].batch.dtype
                    and size + len(job.batch) <= self._fitting(job.batch)
                )
                if not joins:
                    break
                jobs.append(job)
                size += len(job.batch)
            self._leave_queue(self._jobs.popleft())
        return jobs

    def _fitting(self, batch: Array) -> int:
        """How many images like those of `batch` fit in one run."""
        numbers = math.prod(batch.shape[1:])
        return max(1, min(self._max_batch, MOST_NUMBERS // max(1, numbers)))

    def _leave_queue(self, job: _Job) -> None:
        if job.queued:
            job.queued = False
            self.backlog.remove(len(job.batch), job.batch.nbytes)

    def _drop(self, job: _Job) -> None:
        """Takes a job out of the queue that shall never run."""
        if job.queued:
            self._leave_queue(job)
            self.backlog.done(job.seconds)
            self.statistics.dropped(len(job.batch), expired=time.monotonic() >= job.deadline)

    def _expire(self, job: _Job) -> None:
        self._drop(job)
        if not job.answer.done():
            job.answer.set_exception(DeadlineExceeded("the deadline passed in the queue"))

    def _learn(self, seconds_per_byte: float) -> None:
        """A moving average; bytes, since large images of a convolution take longer than small."""
        weight = 0.2 if self._seconds_per_byte else 1.0
        self._seconds_per_byte += weight * (seconds_per_byte - self._seconds_per_byte)

    def _run(self, inputs: Sequence[Array]) -> list[Outputs | Exception]:
        started = time.perf_counter()
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
