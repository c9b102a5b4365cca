"""What was refused: a counter by reason, and one log line a second however many there were."""

from __future__ import annotations

import logging
import time
from collections import Counter

from prometheus_client import Counter as Metric

log = logging.getLogger(__name__)

_PAUSE = 1.0
# All that there are, so that each is counted from 0 on: a first one would not be a rise else.
REASONS = (
    "queue_images", "queue_bytes", "late", "requests", "bytes", "workers",
    "connections", "head", "malformed", "pipelined", "slow_head", "slow_body", "slow_reader",
    "key", "scope", "rate", "stopping",
)  # fmt: skip


class Refusals:
    """Counts refusals of a process.

    An overloaded service that writes a line for each refusal is slowed by its own log.
    """

    def __init__(self, metric: Metric) -> None:
        # Looking a metric up by its labels costs more than adding to it.
        self._count = {reason: metric.labels(reason).inc for reason in REASONS}
        self._since: Counter[str] = Counter()
        self._next = 0.0

    def add(self, reason: str) -> None:
        """One more, for this reason: one word."""
        self._count[reason]()
        self._since[reason] += 1
        now = time.monotonic()
        if now >= self._next:
            what = ", ".join(f"{count} {reason}" for reason, count in self._since.most_common())
            log.warning("refused: %s", what)
            self._since.clear()
            self._next = now + _PAUSE
