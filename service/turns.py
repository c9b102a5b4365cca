"""Whose turn it is: the requests that wait for one function, and what of them runs next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

from numpy.typing import NDArray

from service import cores
from service.backlog import Backlog
from service.errors import DeadlineExceeded
from service.lull import Lull
from service.pace import Pace
from service.statistics import Statistics

Array = NDArray[Any]
Outputs = tuple[Array, ...]

# What the inputs of one run may hold, so that large images of many callers do not add up to more
# memory than there is: a network needs some 40 times as much. One image may be larger.
MOST_NUMBERS = 4_000_000

# A large request runs in turns with the small ones that come meanwhile: so long at a time, but
# no fewer images than most networks run best with (64 of 28x28, or 32 of 32x32 in colour;
# `benchmarks.raw`), which always fit in one run.
_TURN_SECONDS = 0.0005
_BEST_NUMBERS = 96 * 32 * 32
# Where no small one came lately, a slice may take so long, if the network runs best so.
_CALM_TURN_SECONDS = 0.004

# What is over so soon keeps the event loop from its work for less time than another thread would,
# which takes the interpreter's lock at every step.
_IN_PLACE_SECONDS = 0.002
_CORES = cores.usable()


def power_of_two(count: int) -> int:
    """The largest that is not above `count`, and 1 at least: 64 digits take less each than 83."""
    return 1 << max(0, count.bit_length() - 1)


class Run(NamedTuple):
    """What a request got: its outputs `[B,...]`, and the seconds it waited and ran.

    `images` counts all that ran together, its own and others'; the most, where it was split.
    """

    outputs: Outputs
    queue: float
    infer: float
    images: int = 0


class Job:
    """A request that waits: its batch `[B,...]`, the future of its answer, and what is left."""

    __slots__ = (
        *("answer", "batch", "count", "deadline", "done", "kind", "left", "seconds", "since"),
        "size",
    )

    def __init__(
        self,
        batch: Array,
        answer: asyncio.Future[Run],
        deadline: float,
        seconds: float,
        since: float,
    ) -> None:
        """`seconds` is what the batch is expected to take; `deadline` is of `time.monotonic`."""
        shape = batch.shape
        self.batch = batch
        self.answer = answer
        self.deadline = deadline
        self.since = since
        self.count = self.left = count = shape[0]  # images, and those that may still run
        self.seconds = seconds
        self.size = batch.nbytes // count  # bytes of one
        self.kind = shape[1:], batch.dtype  # those of one kind fit in one array
        self.done: list[Run] | None = None  # of one that did not run as a whole


class Part(NamedTuple):
    """The images of a job that are in one run."""

    job: Job
    images: Array


class Next(NamedTuple):
    """What runs next: `slice` images at a time, on the event loop or in a thread."""

    parts: list[Part]
    slice: int
    in_place: bool


class Turns:
    """The queue: small requests and large ones, each in the order in which they came."""

    def __init__(
        self,
        *,
        max_batch: int,
        backlog: Backlog,
        statistics: Statistics,
        in_place: bool,
        lull: Lull,
    ) -> None:
        self._max_batch = max_batch
        self._few = max_batch // 8
        self._may_run_in_place = in_place
        self._small: deque[Job] = deque()
        self._large: deque[Job] = deque()
        self._sort = 0  # whose turn it is where the two cannot run together
        self._statistics = statistics
        self.backlog = backlog
        self.pace = Pace()
        self._lull = lull

    def add(self, job: Job) -> None:
        """Lets a job wait."""
        count = job.count
        # What is few of a network's best is a quarter of any turn: most requests, and soon seen.
        few = count <= self._few and 8 * job.batch.size <= _BEST_NUMBERS
        if few or 4 * count <= self._turn(job.batch):
            self._small.append(job)
            self._lull.last = job.since
        else:
            self._large.append(job)
        self.backlog.add(count, count * job.size, job.seconds)

    def put_back(self, job: Job, images: Array, count: int) -> None:
        """Only so many of a job's images that were taken ran."""
        if left := len(images) - count:
            job.left += left
            self.backlog.add(left, left * job.size, 0.0)

    def others_wait(self) -> bool:
        """Whether there are small requests; may be asked from another thread."""
        return bool(self._small)

    def empty(self) -> bool:
        """Whether nothing is left to run."""
        return not (self._small or self._large)

    def full(self) -> bool:
        """Whether what waits is enough for a run."""
        queue = self._small or self._large
        return not queue or self.backlog.images >= self._turn(queue[0].batch)

    def next(self) -> Next | None:
        """What runs next: small requests first, and of the large ones what else fits.

        Half of a run is for the large ones while there are any, and no more of it while small ones
        are in it, so that neither sort keeps the other waiting; and such a run is half as long,
        since the small ones have waited for another. A large one alone runs as a whole, turn by
        turn, and comes back when others do: see `Batcher`.
        """
        now, parts = time.monotonic(), list[Part]()
        small, large = self._small, self._large
        self._let_go(small, now)
        self._let_go(large, now)
        if not small:
            if not large:
                return None
            first = large[0]
            turn = self._turn(first.batch)
            if self._lull.holds():
                turn = self._calm_turn(first, turn)
            most = max(turn, min(first.left, self._most(first.batch)))
            in_place = self._soon_over(first.batch, turn)
            taken = most - self._take(large, first, most, parts, now)
            return Next(parts, turn, in_place and taken <= turn)
        first = small[0]
        turn, kept = self._turn(first.batch), 0
        if large and first.kind == large[0].kind:
            turn = max(1, turn // 2)
            # Where one image is all, by age.
            kept = turn // 2 or int(large[0].since < first.since)
        elif large:  # images of different sizes: one sort after the other
            first = (small, large)[self._sort][0]
            turn, self._sort = self._turn(first.batch), 1 - self._sort
        in_place = self._soon_over(first.batch, turn)
        room = self._take(small, first, turn - kept, parts, now)
        if large:
            room = self._take(large, first, kept or room, parts, now)
            self._take(small, first, room, parts, now)
        return Next(parts, turn, in_place)

    def _take(self, queue: deque[Job], like: Job, room: int, parts: list[Part], now: float) -> int:
        """Moves images like those of a job from the queue into a run; the room that is left."""
        kind, before = like.kind, room
        while room and queue:
            job = queue[0]
            count = job.left
            if not count:  # all of it has run
                queue.popleft()
                continue
            if now >= job.deadline:
                self._pass_over(queue)
                continue
            if job.kind != kind:
                break
            images = job.batch
            if count > room or count < job.count:
                begun = job.count - count
                images = images[begun : begun + room]
                count = len(images)
            parts.append(Part(job, images))
            job.left -= count
            room -= count
        if taken := before - room:
            self.backlog.remove(taken, taken * like.size)
        return room

    def _let_go(self, queue: deque[Job], now: float) -> None:
        """Takes from the head of the queue what nobody waits for any more."""
        while queue and (not queue[0].left or now >= queue[0].deadline):
            self._pass_over(queue)

    def _pass_over(self, queue: deque[Job]) -> None:
        """Takes the first job from the queue: all of it runs, or its deadline has passed."""
        job = queue.popleft()
        if job.left:
            self.drop(job)
            if not job.answer.done():
                job.answer.set_exception(DeadlineExceeded("the deadline passed in the queue"))

    def _most(self, batch: Array) -> int:
        """How many images like those of `batch` fit in one run."""
        return max(1, min(self._max_batch, MOST_NUMBERS // (batch.size // len(batch) or 1)))

    def _turn(self, batch: Array) -> int:
        """How many of them run before others have their turn."""
        numbers = batch.size // len(batch) or 1
        most = min(self._max_batch, MOST_NUMBERS // numbers)
        fast = int(_TURN_SECONDS / (self.pace.best * numbers * batch.itemsize))
        return power_of_two(min(most, max(_BEST_NUMBERS // numbers, fast)))

    def _calm_turn(self, job: Job, turn: int) -> int:
        """The same where nobody else comes: as many as the network runs best with."""
        soon = int(_CALM_TURN_SECONDS / (self.pace.best * job.size))
        most = min(job.count, self._most(job.batch), soon)
        counts = [turn]
        while 2 * counts[-1] <= most:
            counts.append(2 * counts[-1])
        counts.append(max(1, turn // 2))  # the last to be tried: most run it no faster
        return self.pace.fastest(counts, job.size)

    def _soon_over(self, batch: Array, turn: int) -> bool:
        """Whether what waits is over sooner than another thread would help with it.

        Where there is but one core it never does, so that only the next slice counts there.
        """
        size, most = self.backlog.bytes, _IN_PLACE_SECONDS
        if _CORES == 1:
            size, most = min(size, turn * batch[0].nbytes), _CALM_TURN_SECONDS
        return self._may_run_in_place and size * self.pace.best <= most

    def drop(self, job: Job) -> None:
        """What is left of a job shall never run."""
        if left := job.left:
            job.left = 0
            self.backlog.remove(left, job.size * left)
            self.backlog.done(job.seconds * left / job.count)
            self._statistics.dropped(left, expired=time.monotonic() >= job.deadline)
