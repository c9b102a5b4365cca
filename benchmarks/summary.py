"""The arithmetic of the figures: medians over rounds, their spread, and what was promised."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_MANY = 8


@dataclass(frozen=True)
class Figure:
    """One number, measured in several rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the range, as a share of the median; of many values, between their quartiles."""
        low, high = min(self.values), max(self.values)
        if len(self.values) >= _MANY:
            low, _, high = statistics.quantiles(self.values, n=4)
        return (high - low) / 2 / self.median if self.median else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank).

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("no values, so no percentile")
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, int(rank) - 1)]


def ratio(ours: Figure, theirs: Figure) -> Figure:
    """Round by round: what shook one round shook both."""
    return Figure(tuple(a / b for a, b in zip(ours.values, theirs.values, strict=True)))


@dataclass(frozen=True)
class Target:
    """What a figure must reach, and what it aims for; `less` where less is better."""

    what: str
    must: float
    aim: float
    unit: str = "x"
    less: bool = False

    def verdict(self, value: float) -> str:
        """`aim`, `must` or `short`."""
        sign = -1 if self.less else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "must" if sign * value >= sign * self.must else "short"
