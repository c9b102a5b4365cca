"""What is sent: pictures that differ, made from the models' own known images.

A picture sent again and again is kind to a server: the processor learns the way through it.
"""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
COUNT = 64
DIGITS_MODEL, COLOURS_MODEL = "mnist-mlp-8", "cifar10-conv-denoise"

Images = NDArray[np.uint8]


def folder(model: str) -> Path:
    """The highest version of a shipped model."""
    return max((ROOT / "models" / model).iterdir(), key=lambda path: int(path.name))


def known_image(model: str) -> Images:
    """The model's golden image, uint8 `[H,W,C]`."""
    card = json.loads((folder(model) / "model.json").read_text())
    with Image.open(io.BytesIO(base64.b64decode(card["golden"]["image"]))) as image:
        array = np.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


def variations(image: Images, count: int) -> Images:
    """`[count,H,W,C]`: the image shifted, turned over and scaled in brightness."""
    made = []
    for i in range(count):
        moved = np.roll(image, (i % 7 - 3, i // 7 % 7 - 3), (0, 1))
        moved = moved[:, ::-1] if i % 2 else moved
        made.append((moved * (1 - 0.005 * (i % 64))).astype(np.uint8))
    return np.stack(made)


@cache
def digits() -> list[bytes]:
    """64 different PNGs of 28x28, as Pillow writes them."""
    return [png(image) for image in variations(known_image(DIGITS_MODEL), COUNT)]


@cache
def batch(model: str, count: int = 256) -> bytes:
    """`count` images that the model takes, uint8 npy `[B,H,W,C]`."""
    return npy(variations(known_image(model), count))


def png(image: Images) -> bytes:
    """A PNG with Pillow's own defaults, as most clients send it."""
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return file.getvalue()


def npy(array: Images) -> bytes:
    """The array as numpy.save writes it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
