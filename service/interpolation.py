"""Paths between two points in latent space."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Path = Literal["linear", "spherical"]
Floats = NDArray[np.float32]

# Below this angle, and this close to opposite, the arc is a line or has no one direction.
_DEGENERATE = 1e-6


def between(start: Floats, end: Floats, *, steps: int, path: Path) -> Floats:
    """`steps` latents `[steps,...]` from `start` to `end`, which are the first and the last.

    linear     (1 - t) start + t end
    spherical  along the great circle, its length changing with it (White 2016, "Sampling
               Generative Networks"): keeps to the shell where a Gaussian prior has its mass.
               Where the two point the same or exactly opposite ways, linear.
    """
    a, b = start.astype(np.float64).ravel(), end.astype(np.float64).ravel()
    t = np.linspace(0, 1, steps)[:, None]
    points = (1 - t) * a + t * b
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if path == "spherical" and lengths > 0:
        angle = np.arccos(np.clip(a @ b / lengths, -1, 1))
        if np.sin(angle) > _DEGENERATE:
            points = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    frames = points.astype(np.float32).reshape(steps, *start.shape)
    frames[0], frames[-1] = start, end  # to the bit: the ends decode as the reconstructions do
    return frames
