"""How far a model for any size looks around a place: so far the tiles of a large image overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.manifest import ImageShape
from service.model import Model

Array = NDArray[np.uint8]

# Tiles begin at multiples of this, and a network's own grid lies as it does in the whole image.
_GRID = 32
# The most that a manifest may ask for.
_MOST = 256
# What manifests say where nothing was measured.
_UNMEASURED: int = ImageShape.model_fields["context"].default


def measured(model: Model, images_BHWC: Array) -> int | None:
    """Pixels from a cut beyond which no answer changes by more than a grey level.

    None if the images are too small to tell: the change reaches their far end, or there is no
    place to cut.
    """
    whole = model.reconstruct(images_BHWC)
    reach = 0
    for axis in (1, 2):
        length = images_BHWC.shape[axis]
        cut = length // 2 // _GRID * _GRID
        if not cut:
            return None
        rest = [slice(None)] * 4
        rest[axis] = slice(cut, None)
        alone = model.reconstruct(np.ascontiguousarray(images_BHWC[tuple(rest)]))
        gap = np.abs(alone.astype(int) - whole[tuple(rest)])
        others = tuple(a for a in range(4) if a != axis)
        changed = np.flatnonzero(gap.max(others) > 1)
        reach = max(reach, int(changed[-1]) + 1 if len(changed) else 0)
        if reach >= length - cut:
            return None
    return min(reach, _MOST)


def on_noise(model: Model, channels: int) -> int | None:
    """The same for a model whose own images are too small to be cut, by noise of all levels.

    A network looks furthest in noise; yet it is not what the model is for, so no less than what
    manifests without a measurement say.
    """
    noise = np.random.default_rng(0).integers(0, 256, (1, _MOST, _MOST, channels), np.uint8)
    seen = measured(model, noise)
    return None if seen is None else max(seen, _UNMEASURED)
