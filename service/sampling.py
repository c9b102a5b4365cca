"""The random numbers that new images are made from; a seed gives the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def normals(shape: Sequence[int], count: int, *, seed: int, temperature: float) -> Floats:
    """Draws `[count,*shape]` of the standard normal, times `temperature`.

    More images of one seed begin with the same ones.
    """
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *shape), dtype=np.float32) * np.float32(temperature)


def packed(normals: Floats, *, seed: int) -> Floats:
    """What a mixture's sampler takes `[B,1+D]`: a uniform number in [0, 1), then the normals.

    One array, so that a batcher can join and split it.
    """
    # A stream of its own: the components do not change with the number of images either.
    uniforms = np.random.default_rng([seed, 1]).random(len(normals), dtype=np.float32)
    return np.concatenate([uniforms[:, None], normals.reshape(len(normals), -1)], axis=1)


def unpacked(packed: Floats, shape: Sequence[int]) -> tuple[Floats, Floats]:
    """The normals `[B,*shape]` and uniforms `[B]` again."""
    return (
        np.ascontiguousarray(packed[:, 1:]).reshape(-1, *shape),
        np.ascontiguousarray(packed[:, 0]),
    )
