"""Where a large image is cut: tiles that together are the image, each seen with its surroundings.

An answer depends on what lies around a place, up to the model's `context`. A tile is run with so
much around it, and only its core is kept, so that the joined answer is that of the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

# Networks halve the size of an image a few times. A tile that begins at a multiple of all their
# strides (32: five halvings) is halved where the whole image is.
STEP = 32


@dataclass(frozen=True, slots=True)
class Span:
    """Places along one axis: those that are run, and those whose answer is kept."""

    seen: slice
    core: slice

    @property
    def kept(self) -> slice:
        """The core, counted from where `seen` begins."""
        return slice(self.core.start - self.seen.start, self.core.stop - self.seen.start)


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image `[H,W,C]`."""

    rows: Span
    columns: Span

    @property
    def seen(self) -> tuple[slice, slice]:
        """What is run, in the image."""
        return self.rows.seen, self.columns.seen

    @property
    def core(self) -> tuple[slice, slice]:
        """What is kept, in the image."""
        return self.rows.core, self.columns.core

    @property
    def kept(self) -> tuple[slice, slice]:
        """What is kept, in what was run."""
        return self.rows.kept, self.columns.kept


def tiles(height: int, width: int, *, context: int, pixels: int) -> list[Tile]:
    """Tiles of an image, from the top left, that run up to `pixels` pixels each.

    They are as square as the image allows, since the surroundings cost least then. Where `pixels`
    have no room for the surroundings and a core of `STEP`, tiles are as small as they can be.
    """
    around = -(-max(context, 1) // STEP) * STEP
    side = math.isqrt(pixels)
    seen_width = min(width, max(side, pixels // height))
    seen_height = min(height, max(side, pixels // seen_width))
    return [
        Tile(rows, columns)
        for rows in _spans(height, seen_height, around)
        for columns in list(_spans(width, seen_width, around))
    ]


def _spans(length: int, seen: int, around: int) -> Iterator[Span]:
    """Cores of about one size that together are the axis, each with what is around it."""
    if length <= seen:
        yield Span(slice(0, length), slice(0, length))
        return
    most = max(STEP, (seen - 2 * around) // STEP * STEP)
    core = -(-length // -(-length // most))  # as many as that takes, of about one size
    core = -(-core // STEP) * STEP
    for start in range(0, length, core):
        end = min(start + core, length)
        yield Span(slice(max(0, start - around), min(length, end + around)), slice(start, end))
