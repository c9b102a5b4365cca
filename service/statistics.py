"""What one queue did so far: requests, images, runs by batch size, and the time in each phase."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Duration:
    """How often something was done, and the seconds it took altogether."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class Runs:
    """All runs of one batch size: joining the requests, the graphs, handing the outputs out."""

    count: int = 0
    join_seconds: float = 0.0
    infer_seconds: float = 0.0
    split_seconds: float = 0.0

    @property
    def join(self) -> Duration:
        return Duration(self.count, self.join_seconds)

    @property
    def infer(self) -> Duration:
        return Duration(self.count, self.infer_seconds)

    @property
    def split(self) -> Duration:
        return Duration(self.count, self.split_seconds)


@dataclass(slots=True)
class Statistics:
    """Counts since the model was loaded, whichever API the requests came by.

    `read` and `write` are the phases around the queue; only routes that measure them add to them.
    """

    images: int = 0
    departed: int = 0  # images that never ran, since nobody waited for them any more
    expired: int = 0  # images that never ran, since their deadline passed in the queue
    last: float = 0.0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue_seconds: float = 0.0  # of those that were answered
    infer_seconds: float = 0.0
    read: Duration = field(default_factory=Duration)
    write: Duration = field(default_factory=Duration)
    runs: dict[int, Runs] = field(default_factory=dict)

    def answered(
        self, requests: int, images: int, total: float, queue: float, infer: float
    ) -> None:
        """Requests were answered: their images, and the seconds of all of them since they came."""
        self.images += images
        self.last = time.time()
        self.success.count += requests
        self.success.seconds += total
        self.queue_seconds += queue
        self.infer_seconds += infer

    @property
    def queue(self) -> Duration:
        """How long answered requests waited for their first run."""
        return Duration(self.success.count, self.queue_seconds)

    @property
    def infer(self) -> Duration:
        """How long the runs of answered requests took."""
        return Duration(self.success.count, self.infer_seconds)

    def dropped(self, images: int, *, expired: bool) -> None:
        """Images left the queue without a run."""
        if expired:
            self.expired += images
        else:
            self.departed += images

    def ran(self, size: int, join: float, infer: float, split: float) -> None:
        """One run of `size` images; called from the thread that ran it, of which there is one."""
        # Into the dictionary only when complete: another thread may be reading.
        runs = self.runs.get(size) or Runs()
        runs.count += 1
        runs.join_seconds += join
        runs.infer_seconds += infer
        runs.split_seconds += split
        self.runs[size] = runs
