"""Pictures for the clients, and whether they came back."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (5, 12, 12, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
TALL = RNG.integers(0, 256, (30, 20, 3), np.uint8)
Call = Callable[..., Awaitable]


def same(made, expected) -> None:
    assert len(made) == len(expected)
    for found, image in zip(made, expected, strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, image)


def picture(folder: Path, image: np.ndarray, kind: str = "png") -> Path:
    path = folder / f"{abs(hash(image.tobytes()))}.{kind}"
    Image.fromarray(image.squeeze()).save(path)
    return path


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()
