"""Awake for a moment after an answer: its caller's next request is often on its way.

A process that waits for its sockets is put to sleep, and to be woken takes the system longer than
the network takes for a picture: longest where the processor's core has gone to sleep too. So the
event loop, with nothing else to do, looks at its sockets again and again for a moment first.
"""

from __future__ import annotations

import asyncio
import os
import time


class Lingering:
    """Keeps an event loop awake for so many seconds, each time that it has nothing else to do."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._looking = False
        self._until = 0.0

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """The last of what was to be done is done."""
        if self._seconds:
            self._until = time.perf_counter() + self._seconds
            if not self._looking:
                self._looking = True
                loop.call_soon(self._look, loop)

    def end(self) -> None:
        """There is something to do."""
        self._until = 0.0

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the loop go round once more; it looks at its sockets each time."""
        self._looking = time.perf_counter() < self._until
        if self._looking:
            os.sched_yield()  # whoever else has work for this core goes first
            loop.call_soon(self._look, loop)
