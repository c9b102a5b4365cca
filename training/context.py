"""How far a model for any size looks around a place: so far the tiles of a large image overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.model import Model

Array = NDArray[np.uint8]

# Tiles begin at multiples of this, and a network's own grid lies as it does in the whole image.
_GRID = 32
# The most that a manifest may ask for.
_MOST = 256


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
