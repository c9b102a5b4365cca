"""Whether small requests come at present."""

from __future__ import annotations

import math
import time

# A caller of single pictures on one connection is back after a few milliseconds.
_SECONDS = 0.1


class Lull:
    """When a small request last came, to any of the models whose runs share a processor."""

    def __init__(self) -> None:
        self.last = -math.inf  # of `time.perf_counter`

    def holds(self) -> bool:
        """Whether none came lately, so that a longer run keeps nobody waiting."""
        return time.perf_counter() - self.last > _SECONDS
