"""The noise that a denoiser took off a picture: how strong it was, and whether it was noise at all.

Both are read off the residual, what went in less what came out, where the answer is flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

_SIDE = 8
_FEWEST = 64  # blocks: below it, their flattest quarter says nothing
_MOST = 2**14  # blocks: of a larger image every so manieth row of blocks is looked at
_FLATTEST = 0.25
_DARK, _BRIGHT = 16, 239
_ROUNDED = 1.0  # grey level: the shape of less than that is the shape of rounding


@dataclass(frozen=True, slots=True)
class Noise:
    """What was taken off one image.

    `std`: its standard deviation in grey levels of 255.
    `kurtosis`: its excess kurtosis, 0 for normal noise, the same everywhere; single wrong pixels,
    remains of compression, or text taken for noise have tens. None below one grey level.
    """

    std: float
    kurtosis: float | None


def is_enough(height: int, width: int) -> bool:
    """Whether an image of that size is large enough to say."""
    return bool((height // _SIDE) * (width // _SIDE) >= _FEWEST)


def measure(noisy: Images, clean: Images) -> Noise | None:
    """The noise in `noisy`, given a denoiser's answer to it; both are `[H,W,C]`.

    Of those 8x8 blocks in which the answer is flattest: where there is texture, a denoiser takes
    some of that for noise and leaves some noise. Blocks near black or white are left out, for
    there the noise was clipped. None for an image of fewer than 64 blocks. docs/decisions.md has
    what both were chosen against.
    """
    height, width, _ = clean.shape
    if not is_enough(height, width):
        return None
    residual = _flat_residual(noisy, clean)
    power = float(np.square(residual).mean())
    if power < _ROUNDED**2:
        return Noise(power**0.5, None)
    return Noise(power**0.5, float(np.square(np.square(residual)).mean()) / power**2 - 3)


def _flat_residual(noisy: Images, clean: Images) -> Floats:
    """`[N,64]`: what was taken off, in the flattest blocks."""
    height, width, _ = clean.shape
    every = -(-(height // _SIDE) * (width // _SIDE) // _MOST)
    answer = _blocks(clean, every)
    means = answer.mean(1)
    shown = (means > _DARK) & (means < _BRIGHT)
    if shown.sum() < _FEWEST:
        shown[:] = True
    places = np.flatnonzero(shown)
    spread = answer[places].std(1)
    count = max(1, int(_FLATTEST * len(spread)))
    flattest = places[np.argpartition(spread, count - 1)[:count]]
    residual: Floats = _blocks(noisy, every)[flattest] - answer[flattest]
    return residual


def _blocks(image: Images, every: int) -> Floats:
    """`[N,64]`: the 8x8 blocks of every channel, of every so manieth row of them."""
    height, width, channels = image.shape
    tall, wide = height // _SIDE, width // _SIDE
    rows = image[: tall * _SIDE].reshape(tall, _SIDE, width, channels)[::every, :, : wide * _SIDE]
    cells = rows.reshape(-1, _SIDE, wide, _SIDE, channels).transpose(0, 2, 4, 1, 3)
    return cells.reshape(-1, _SIDE * _SIDE).astype(np.float32)
