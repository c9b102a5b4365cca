"""Photographs with the literature's noise on them, the same for everyone who takes it off.

Needs numpy and Pillow only: it also runs in the environments of peers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]

SETS = ("set12", "bsd68")
LEVELS = (15, 25, 50)


@dataclass(frozen=True)
class Photograph:
    """Grey levels 0 to 255 [H,W] as stored, and `place` among those of its set."""

    of: str
    place: int
    clean: NDArray[np.uint8]

    def noisy(self, level: int) -> Floats:
        """With noise of that deviation, in grey levels, on it; neither clipped nor rounded."""
        rng = np.random.default_rng([level, self.place])
        return self.clean + level * rng.standard_normal(self.clean.shape)

    def psnr(self, answer: NDArray[np.generic]) -> float:
        """Decibels, of an answer in grey levels that is clipped to 0 to 255 and not rounded."""
        error = np.clip(answer.astype(np.float64), 0, 255) - self.clean
        return float(10 * np.log10(255**2 / np.mean(error**2)))


def photographs(where: Path, name: str) -> Iterator[Photograph]:
    """Those of a set, in order of their names.

    Raises:
        FileNotFoundError: there are none.
    """
    paths = sorted((where / name).glob("*.png"))
    if not paths:
        raise FileNotFoundError(f"{where / name} has no PNG files: put the photographs there")
    for place, path in enumerate(paths):
        with Image.open(path) as picture:
            yield Photograph(name, place, np.asarray(picture.convert("L")))
