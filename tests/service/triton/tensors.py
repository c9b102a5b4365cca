"""Tensors as Triton's clients send and ask for them."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.http as triton

from service import images

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (3, 12, 12, 1), np.uint8)
FILES = np.array([images.encode_png(grey) for grey in GREYS], object)
BOTH = pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])


def tensor(array: np.ndarray, datatype: str, name: str = "images", *, binary: bool = True):
    sent = triton.InferInput(name, list(array.shape), datatype)
    return [sent.set_data_from_numpy(array, binary_data=binary)]


def asked(name: str, binary: bool, **options):
    return [triton.InferRequestedOutput(name, binary_data=binary, **options)]
