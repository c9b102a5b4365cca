"""map.json: where a model puts the images of its test set, for people to look at.

Written when a model is published, served as it is, drawn by the playground.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.manifest import Record

FILE = "map.json"

Floats = NDArray[np.float32]
Bits = Literal[8, 16]

# Six digits are more than 16 bits can tell apart, and half the text of a float's own.
_DIGITS = 6


class Table(Record):
    """Numbers `[N,D]`, each an integer from 0, its column's `low`, to all ones, its `high`."""

    bits: Bits
    low: tuple[float, ...]
    high: tuple[float, ...]
    data: str = Field(description="base64, unsigned and little-endian, row by row")

    @classmethod
    def of(cls, numbers_ND: NDArray[Any], bits: Bits) -> Self:
        """The numbers, rounded to the nearest that `bits` can say."""
        low = np.array([short(x) for x in numbers_ND.min(0)])
        high = np.array([short(x) for x in numbers_ND.max(0)])
        share = (numbers_ND - low) / np.where(high > low, high - low, 1)
        levels = np.rint(share * (2**bits - 1)).clip(0, 2**bits - 1).astype(f"<u{bits // 8}")
        data = base64.b64encode(levels.tobytes()).decode("ascii")
        return cls(bits=bits, low=tuple(low.tolist()), high=tuple(high.tolist()), data=data)

    def numbers(self) -> Floats:
        """float32 `[N,D]` again."""
        levels = np.frombuffer(base64.b64decode(self.data), f"<u{self.bits // 8}")
        low, high = np.array(self.low), np.array(self.high)
        share = levels.reshape(-1, len(low)) / (2**self.bits - 1)
        numbers: Floats = (low + share * (high - low)).astype(np.float32)
        return numbers


class Components(Record):
    """Principal components of the latents: `(latents - mean) @ axes.T` are the coordinates."""

    mean: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...] = Field(description="orthonormal, the widest first")
    explained: tuple[float, ...] = Field(description="share of the variance along each axis")


class LatentMap(Record):
    """Latents of test images, as many of each class as there are, and ways to lay them out.

    Two latents are a plane already: `components` and `tsne` are empty then.
    """

    format: Literal[1] = 1
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=256)]
    labels: str = Field(description="base64, one byte a point: its place in `classes`")
    latents: Table = Field(description="flattened, one row a point")
    components: Components | None
    tsne: dict[Literal["2", "3"], Table] = Field(
        description="t-SNE of the latents in two and three dimensions"
    )


def short(number: float) -> float:
    """The number with six digits, as it stands in the file."""
    return float(f"{number:.{_DIGITS}g}")
