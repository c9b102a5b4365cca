"""Pictures for the commands, and what they wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from service import images

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (6, 12, 12, 1), np.uint8)
AUTOENCODER = [sys.executable, "-m", "service.client"]


def read(path: Path | str) -> np.ndarray:
    return images.decode(Path(path).read_bytes())
