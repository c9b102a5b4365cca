"""How far a request's work is: steps done, of how many."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Steps that are counted by whoever works, and waited for by whoever tells the caller.

    A tile of a large image is a step, and so is a whole small image.
    """

    done: int = 0
    total: int = 0
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, steps: int) -> None:
        """So many steps more will come."""
        self.total += steps
        self._moved.set()

    def advance(self, steps: int = 1) -> None:
        """So many are done."""
        self.done += steps
        self._moved.set()

    async def moved(self) -> None:
        """Returns when something changed since the last call did."""
        await self._moved.wait()
        self._moved.clear()
