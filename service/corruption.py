"""Noise and occlusion on uint8 images, to try a denoiser on pictures that are clean.

A corruption is written as it is asked for: `gaussian:0.2`, `occlusion:8`. Amounts are for
pixels in [0, 1], so the reports' "0.1 on [-1, 1]" is `gaussian:0.05`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import Unprocessable

Images = NDArray[np.uint8]
# How a corruption's name begins.
Damage = Literal["gaussian", "occlusion"]

_AT_ONCE = 2**20  # numbers, so that a large image's noise takes little memory


@dataclass(frozen=True)
class Gaussian:
    """Adds normal noise of standard deviation `std` (of 1), then clips and rounds to uint8."""

    damage: ClassVar[Damage] = "gaussian"
    std: float

    def __call__(self, images_BHWC: Images, rng: np.random.Generator) -> Images:
        noisy = np.empty_like(images_BHWC)
        clean, flat = images_BHWC.reshape(-1), noisy.reshape(-1)
        for start in range(0, clean.size, _AT_ONCE):  # the same numbers as all at once
            part = clean[start : start + _AT_ONCE]
            noise = rng.standard_normal(part.shape, dtype=np.float32)
            noise *= np.float32(self.std * 255)
            noise += part
            flat[start : start + _AT_ONCE] = np.clip(np.rint(noise), 0, 255)
        return noisy

    def __str__(self) -> str:
        return f"gaussian:{self.std:g}"


@dataclass(frozen=True)
class Occlusion:
    """Blackens one square of `side` pixels at a random place in each image."""

    damage: ClassVar[Damage] = "occlusion"
    side: int

    def __call__(self, images_BHWC: Images, rng: np.random.Generator) -> Images:
        occluded = images_BHWC.copy()
        height, width = images_BHWC.shape[1:3]
        tops = rng.integers(0, max(height - self.side, 0) + 1, len(occluded))
        lefts = rng.integers(0, max(width - self.side, 0) + 1, len(occluded))
        for image, top, left in zip(occluded, tops, lefts, strict=True):
            image[top : top + self.side, left : left + self.side] = 0
        return occluded

    def __str__(self) -> str:
        return f"occlusion:{self.side}"


Corruption = Gaussian | Occlusion


def parse(text: str) -> Corruption:
    """Reads `gaussian:STD` (0 to 1) or `occlusion:SIDE` (1 to 4096 pixels).

    Raises:
        Unprocessable: anything else.
    """
    kind, _, amount = text.partition(":")
    try:
        if kind == "gaussian":
            std = float(amount)
            if math.isfinite(std) and 0 <= std <= 1:
                return Gaussian(std)
        if kind == "occlusion":
            side = int(amount)
            if 1 <= side <= 4096:
                return Occlusion(side)
    except ValueError:
        pass
    raise Unprocessable(
        f"simulate={text[:40]!r} is no corruption: write gaussian:STD with STD from 0 to 1 "
        "(of the full range), or occlusion:SIDE with SIDE in pixels, as in gaussian:0.2 or "
        "occlusion:8"
    )
