"""A colour image as three images of one channel, for graphs that take one (`channelwise`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def apart(images_BHWC: Array) -> Array:
    """`[B*C,H,W,1]` of `[B,H,W,C]`: an image's channels one after the other."""
    count, height, width, channels = images_BHWC.shape
    planes = np.ascontiguousarray(images_BHWC.transpose(0, 3, 1, 2))
    return planes.reshape(count * channels, height, width, 1)


def joined(planes: Array, channels: int) -> Array:
    """`[B,H,W,C]` of `[B*C,H,W,1]`, the inverse of `apart`."""
    count, height, width, _ = planes.shape
    images = planes.reshape(count // channels, channels, height, width)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
