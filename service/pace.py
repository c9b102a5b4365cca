"""How long a network takes for a byte, by how much of it runs at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable

_RISE = 1.02  # of what is known, with a run that took longer
# Of each other size, with every run: it is tried again some day, and one that is twice as slow
# with every 140th run.
_HOPE = 0.995


class Pace:
    """Seconds a byte takes in the function itself, undisturbed: at best, and in slices of a size.

    What is best depends on the network and on the processor's caches: a dense network reads all
    of its weights for every slice, a convolution's activations of a large one fit in no cache.
    """

    def __init__(self) -> None:
        self.best = math.inf
        # By the binary digits of a slice's bytes, and which of the runs was the last of that size.
        self._of: dict[int, tuple[float, int]] = {}
        self._runs = 0

    def learn(self, count: int, size: int, seconds: float, *, ran: int) -> None:
        """`ran` images of `size` bytes took so long, `count` at a time."""
        found = seconds / (ran * size)
        # Slow runs, where other processes had the processor, say little: it rises slowly.
        self.best = min(_RISE * self.best, found)
        if ran < count:
            return
        digits = (count * size).bit_length()
        self._runs += 1
        if digits not in self._of:
            found = 0.0  # its memory is new: what it took says nothing
        elif known := self._of[digits][0]:
            found = min(_RISE * known, found)
        self._of[digits] = found, self._runs

    def fastest(self, counts: Iterable[int], size: int) -> int:
        """How many images at a time are fastest; what was never tried comes first."""
        return min(counts, key=lambda count: self._hoped((count * size).bit_length()))

    def _hoped(self, digits: int) -> float:
        known, last = self._of.get(digits, (0.0, 0))
        return float(known * _HOPE ** (self._runs - last))
