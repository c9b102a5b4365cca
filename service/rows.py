"""Several arrays: one array `[B,...]` where all have the same shape, else a list of them.

What came as one array travels, runs and leaves as one; nothing is cut up to be put together again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any] | list[NDArray[Any]]


def together(arrays: Sequence[NDArray[Any]]) -> Rows:
    """The arrays, of which there is at least one, as one if they have one shape."""
    first, *others = arrays
    if not others:
        return first[None]
    return np.stack(arrays) if all(a.shape == first.shape for a in others) else list(arrays)


def shapes(rows: Rows) -> list[tuple[int, ...]]:
    """Every row's shape, or the one that all have."""
    return [row.shape for row in rows] if isinstance(rows, list) else [rows.shape[1:]]


def size(rows: Rows) -> int:
    """How many numbers there are in all rows."""
    return sum(row.size for row in rows) if isinstance(rows, list) else rows.size
