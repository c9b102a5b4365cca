"""Small data that the tests make themselves: bars on black, of three widths and any brightness."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data import Dataset, Images, Split
from training.networks import Mlp
from training.recipes import Recipe
from training.schedules import Adam, OneCycle


def bars(count: int, side: int, channels: int, seed: int) -> Images:
    rng = np.random.default_rng(seed)
    images = np.zeros((count, side, side, channels), np.uint8)
    labels = rng.integers(0, 3, count)
    for image, label in zip(images, labels, strict=True):
        image[2:-2, 2 + label : 5 + 2 * label] = rng.integers(120, 256, channels)
    return Images(torch.from_numpy(images), torch.from_numpy(labels))


@pytest.fixture(scope="session")
def grey() -> Dataset:
    return Dataset(
        "grey", bars(240, 12, 1, 0), bars(40, 12, 1, 1), ("a", "b", "c"), {"x": "0" * 64}
    )


@pytest.fixture(scope="session")
def colour() -> Dataset:
    return Dataset(
        "colour", bars(120, 16, 3, 0), bars(30, 16, 3, 1), ("a", "b", "c"), {"x": "0" * 64}
    )


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(
        name="tiny-mlp-4",
        data="grey",
        net=Mlp((24, 4), latent="linear"),
        source="test",
        summary="A toy.",
        epochs=4,
        batch=32,
        split=Split(40),
        optimiser=Adam(3e-3),
        schedule=OneCycle(),
    )


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def write_mnist(root: Path, train: int = 2200, test: int = 60) -> Path:
    """A folder that torchvision takes for MNIST."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", train), ("t10k", test)):
        part = bars(count, 28, 1, count)
        pixels, labels = part.pixels.numpy().tobytes(), part.labels.to(torch.uint8).numpy()
        head = struct.pack(">IIII", 2051, count, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(head + pixels)
        head = struct.pack(">II", 2049, count)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return root


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("data"))
