"""How strong the noise was that a denoiser took off a picture, from what went in and came out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

_SIDE = 8
_FEWEST = 64  # blocks: below it, their flattest quarter says nothing
_MOST = 2**14  # blocks: of a larger image every so manieth row of blocks is looked at
_FLATTEST = 0.25
_DARK, _BRIGHT = 16, 239


def is_enough(image: Images) -> bool:
    """Whether an image `[H,W,C]` is large enough to say."""
    height, width, _ = image.shape
    return bool((height // _SIDE) * (width // _SIDE) >= _FEWEST)


def std(noisy: Images, clean: Images) -> float | None:
    """Standard deviation of the noise in `noisy`, in grey levels of 255; both are `[H,W,C]`.

    The root mean square of what was taken off, over those 8x8 blocks in which the answer is
    flattest: where there is texture, a denoiser takes some of that for noise and leaves some
    noise. Blocks near black or white are left out, for there the noise was clipped. None for an
    image of fewer than 64 blocks. docs/decisions.md has what it was chosen against.
    """
    if not is_enough(clean):
        return None
    height, width, _ = clean.shape
    every = -(-(height // _SIDE) * (width // _SIDE) // _MOST)
    answer = _blocks(clean, every)
    means = answer.mean(1)
    shown = (means > _DARK) & (means < _BRIGHT)
    if shown.sum() < _FEWEST:
        shown[:] = True
    power = np.square(_blocks(noisy, every) - answer).mean(1)[shown]
    spread = answer.std(1)[shown]
    count = max(1, int(_FLATTEST * len(spread)))
    flattest = np.argpartition(spread, count - 1)[:count]
    return float(np.sqrt(power[flattest].mean()))


def _blocks(image: Images, every: int) -> NDArray[np.float32]:
    """`[N,64]`: the 8x8 blocks of every channel, of every so manieth row of them."""
    height, width, channels = image.shape
    tall, wide = height // _SIDE, width // _SIDE
    rows = image[: tall * _SIDE].reshape(tall, _SIDE, width, channels)[::every, :, : wide * _SIDE]
    cells = rows.reshape(-1, _SIDE, wide, _SIDE, channels).transpose(0, 2, 4, 1, 3)
    return cells.reshape(-1, _SIDE * _SIDE).astype(np.float32)
