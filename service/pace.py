"""How long a network takes for a byte, by how much of it runs at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

_RISE = 1.02  # of what is known, with a run that took longer
# Of each other size, with every run after its first: it is tried again some day, and the more
# seldom the better it is known, up to so many times. One that is twice as slow is then tried with
# every 550th run.
_HOPE = 0.99
_SURE = 8


class Tried(NamedTuple):
    """What is known of slices of a size: seconds a byte, which run was the last, of how many."""

    seconds: float = 0.0
    last: int = 0
    runs: int = 0  # but for the first, whose memory is new: what that took says nothing


class Pace:
    """Seconds a byte takes: the function alone at best, and from end to end in slices of a size.

    Which slices are best depends on the network and on the processor's caches: a dense network
    reads all of its weights for every slice, a convolution's activations of a large one fit in no
    cache. And it depends on what each slice costs beside: a run as a whole needs no other thread.
    """

    def __init__(self) -> None:
        self.best = math.inf
        self._of: dict[int, Tried] = {}  # by the binary digits of a slice's bytes
        self._runs = 0

    def ran(self, images: int, size: int, seconds: float) -> None:
        """The function took so long for images of `size` bytes."""
        # Slow runs, where other processes had the processor, say little: it rises slowly.
        self.best = min(_RISE * self.best, seconds / (images * size))

    def took(self, count: int, size: int, seconds: float, *, images: int) -> None:
        """A run of `images` took so long from end to end, `count` at a time; `size` bytes each."""
        if images < count:
            return
        digits, found = (count * size).bit_length(), seconds / (images * size)
        self._runs += 1
        known = self._of.get(digits)
        if known is None:
            self._of[digits] = Tried(last=self._runs)
            return
        if known.runs:
            found = min(_RISE * known.seconds, found)
        self._of[digits] = Tried(found, self._runs, known.runs + 1)

    def fastest(self, counts: Iterable[int], size: int) -> int:
        """How many images at a time are fastest; what was never tried comes first."""
        return min(counts, key=lambda count: self._hoped((count * size).bit_length()))

    def _hoped(self, digits: int) -> float:
        seconds, last, runs = self._of.get(digits, Tried())
        return float(seconds * _HOPE ** ((self._runs - last) / min(max(1, runs), _SURE)))
