"""Joins concurrent requests for the same graph into one run, with no delay when idle.

A run starts at once when the runner is free; what arrives meanwhile forms the next batch. One
batcher has at most one run in flight, and all batchers share the inference threads, so that a
flooded model holds one thread and no more. Short runs are made where they are, between two turns
of the event loop: two threads of one interpreter hinder each other more than they help then. A
run of several slices is for a thread, on a single core too: between two slices the loop would find
nothing of what it needs in the processor's caches, and that with every slice.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import accumulate

import numpy as np

from service.backlog import Backlog
from service.errors import Overloaded
from service.lull import Lull
from service.statistics import Statistics
from service.turns import Array, Job, Next, Outputs, Part, Run, Turns

# A run may take so many times longer than runs of its size did before it is overdue.
_SLACK = 4.0

# Windows has no such call.
_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


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
        in_place: bool = True,
        lull: Lull | None = None,
    ) -> None:
        """`in_place=False` has the executor make every run, however short.

        `lull` is of all that share the executor; without it, of this batcher alone.
        """
        self._function = function
        self._executor = executor
        self.backlog = backlog
        self.statistics = Statistics()
        self._turns = Turns(
            max_batch=max_batch,
            backlog=backlog,
            statistics=self.statistics,
            in_place=in_place,
            lull=lull or Lull(),
        )
        self._loop: asyncio.AbstractEventLoop | None = None  # while something runs or waits
        self._seconds_per_byte = 0.0  # from one run to the next: what the backlog counts with
        self._first = seconds_per_byte  # before anything ran
        self._due = math.inf

    def overdue(self, patience: float) -> bool:
        """Whether the run under way should have ended at least `patience` seconds ago."""
        return time.perf_counter() > self._due + patience

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits to run."""
        return self._loop is None

    async def submit(self, batch: Array, *, deadline: float = math.inf) -> Run:
        """Runs `batch` `[B,...]`, B >= 1, joined with what else waits; splits it if it is large.

        What has not begun to run at `deadline`, of `time.monotonic`, never does.

        Raises:
            Overloaded: too much waits already, or so much that the answer would come too late.
            DeadlineExceeded: the deadline passed in the queue.
            Exception: whatever the function raised for this batch, and for this batch only.
        """
        came = time.perf_counter()
        size = batch.nbytes
        expected = size * self._seconds_per_byte
        if self.backlog.images:
            try:
                self.backlog.admit(len(batch), size, expected, deadline - time.monotonic())
            except Overloaded:
                self.statistics.fail.add(time.perf_counter() - came)
                raise
        loop = self._loop or asyncio.get_running_loop()
        job = Job(batch, loop.create_future(), deadline, expected, came)
        self._turns.add(job)
        if self._loop is None:
            self._loop = loop
            # In the loop's next turn: whatever arrived in this one runs with it.
            loop.call_soon(self._gather, loop, -1)
        try:
            return await job.answer
        except BaseException:  # its own fault, or the caller left
            if not _was_answered(job):  # at the very moment when it was answered
                self.statistics.fail.add(time.perf_counter() - came)
            self._turns.drop(job)
            raise

    def _gather(self, loop: asyncio.AbstractEventLoop, before: int) -> None:
        """Runs what waits, once the event loop brings no more for it from one turn to the other.

        The loop never sleeps meanwhile, so that a request waits for nothing but work that is to
        be done anyway; and the weights are read anew by every run, of one image or of many. What
        is soon over is no task: to make one takes as long as a tenth of a small run.
        """
        waiting = self.backlog.images
        if before < 0 or (before < waiting and not self._turns.full()):
            loop.call_soon(self._gather, loop, waiting)
            return
        self._loop = None  # whatever may happen now
        run = self._turns.next()
        if run is None:
            return
        started = time.perf_counter()
        if run.in_place:
            self._end(loop, run, started, self._made(run.parts, run.slice))
            return
        self._loop = loop
        try:
            self._executor.submit(self._run_aside, loop, run)
        except RuntimeError as error:  # it was shut down: nobody may hang
            self._end(loop, run, started, [error] * len(run.parts))

    def _run_aside(self, loop: asyncio.AbstractEventLoop, run: Next) -> None:
        """Makes a run in a thread, and tells the event loop at its end.

        Without a future of asyncio's, which takes three times the steps. It starts now: until the
        thread was free of another model's run, it was in the queue.
        """
        started = time.perf_counter()
        outcome = self._made(run.parts, run.slice)
        loop.call_soon_threadsafe(self._end, loop, run, started, outcome)

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        run: Next,
        started: float,
        outcome: Sequence[Outputs | Exception],
    ) -> None:
        self._loop = None
        self._hand_out(run, outcome, started, time.perf_counter() - started)
        if not self._turns.empty():
            self._loop = loop
            # In the next turn, as above: what arrived during the run is read in this one.
            loop.call_soon(self._gather, loop, -1)

    def _hand_out(
        self,
        run: Next,
        outcome: Sequence[Outputs | Exception],
        started: float,
        seconds: float,
    ) -> None:
        """Gives every caller what was made of its images, and queues again what was not."""
        parts = run.parts
        counts = [
            len(part.images if isinstance(made, Exception) else made[0])
            for part, made in zip(parts, outcome, strict=True)
        ]
        together, expected = sum(counts), 0.0
        whole, images, since = 0, 0, 0.0  # requests that are answered by this run alone
        for (job, taken), count, made in zip(parts, counts, outcome, strict=True):
            answer, every = job.answer, count == job.count
            expected += job.seconds if every else job.seconds * count / job.count
            if count < len(taken):  # others came, or nobody waits for it any more
                self._turns.put_back(job, taken, count)
            if answer.done():  # the caller has left, or another part of it failed
                self._turns.drop(job)
            elif isinstance(made, Exception):
                answer.set_exception(made)
                self._turns.drop(job)
            elif every:
                answer.set_result(Run(made, started - job.since, seconds, together))
                whole, images, since = whole + 1, images + count, since + job.since
            else:
                self._give(job, Run(made, started - job.since, seconds, together))
        size = parts[0].job.size
        self._learn(seconds / (together * size))
        if not isinstance(outcome[0], Exception):
            self._turns.pace.took(run.slice, size, seconds, images=together)
        self.backlog.done(expected)
        if whole:
            total, queue = whole * time.perf_counter() - since, whole * started - since
            self.statistics.answered(whole, images, total, queue, whole * seconds)

    def _give(self, job: Job, run: Run) -> None:
        """Notes what was made of a part of a job, and answers it once that is all."""
        done = job.done = [*(job.done or ()), run]
        if job.left or sum(len(run.outputs[0]) for run in done) < job.count:
            return
        run = done[0] if len(done) == 1 else _rejoin(done)
        job.answer.set_result(run)
        total = time.perf_counter() - job.since
        self.statistics.answered(1, job.count, total, run.queue, run.infer)

    def _learn(self, seconds_per_byte: float) -> None:
        """A moving average; bytes, since large images of a convolution take longer than small."""
        known = self._seconds_per_byte
        if usual := known or self._first:  # one run that hung is no rule
            seconds_per_byte = min(seconds_per_byte, _SLACK * usual)
        if known:
            seconds_per_byte = known + 0.2 * (seconds_per_byte - known)
        self._seconds_per_byte = seconds_per_byte

    def _made(self, parts: Sequence[Part], size: int) -> list[Outputs | Exception]:
        """Runs the parts together, up to `size` images at a time: what each part got."""
        started = time.perf_counter()
        usual = self._seconds_per_byte or self._first
        first = parts[0]
        try:
            if len(parts) == 1:
                batch = first.images
            else:
                batch = np.concatenate([part.images for part in parts])
            self._due = started + _SLACK * usual * batch.nbytes
            join = time.perf_counter() - started
            outputs, infer = self._slices(batch, size, first.job)
            inferred = time.perf_counter()
            results = _split(outputs, parts)
        except Exception as error:
            if len(parts) == 1:
                return [error]
        else:
            count = len(outputs[0])
            split = time.perf_counter() - inferred
            self.statistics.ran(count, join, infer, split)
            self._turns.pace.ran(count, first.job.size, infer)
            return results
        finally:
            self._due = math.inf
        # One caller's fault is not its neighbours': each alone, and only the guilty one fails.
        return [made for part in parts for made in self._made([part], size)]

    def _slices(self, batch: Array, size: int, job: Job) -> tuple[Outputs, float]:
        """The outputs of as many slices as nobody else waits for, one at least, and their seconds.

        Of more than one in another thread: it looks at what the event loop's changes, and changes
        nothing.
        """
        if len(batch) <= size:
            began = time.perf_counter()
            outputs = self._function(batch)
            return outputs, time.perf_counter() - began
        whole, done, seconds = tuple[Array, ...](), 0, 0.0
        while done < len(batch):
            if done:
                # Where the event loop waits for this core, it has it now, not some slices later.
                _give_way()
                late = time.monotonic() >= job.deadline
                if late or job.answer.done() or self._turns.others_wait():
                    break
            began = time.perf_counter()
            outputs = self._function(batch[done : done + size])
            if not done:
                whole = tuple(np.empty((len(batch), *x.shape[1:]), x.dtype) for x in outputs)
            for place, output in zip(whole, outputs, strict=True):
                place[done : done + size] = output  # while it is in the processor's caches
            seconds += time.perf_counter() - began
            done += len(outputs[0])
        return tuple(made[:done] for made in whole), seconds


def _was_answered(job: Job) -> bool:
    answer = job.answer
    return answer.done() and not answer.cancelled() and answer.exception() is None


def _split(outputs: Outputs, parts: Sequence[Part]) -> list[Outputs | Exception]:
    if len(parts) == 1:
        return [outputs]
    sizes = [len(part.images) for part in parts]
    places = list(zip(accumulate(sizes, initial=0), accumulate(sizes), strict=False))
    return list(zip(*[[made[i:j] for i, j in places] for made in outputs], strict=True))


def _rejoin(runs: Sequence[Run]) -> Run:
    columns = zip(*(run.outputs for run in runs), strict=True)
    outputs = tuple(np.concatenate(column) for column in columns)
    infer, images = sum(run.infer for run in runs), max(run.images for run in runs)
    return Run(outputs, runs[0].queue, infer, images)
