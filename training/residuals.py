"""What a denoiser takes off pictures whose noise is of the kind that it learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service import corruption, noise
from service.model import Model
from training.corruption import Corruption, Gaussian, GaussianUpTo
from training.seeds import named

# A few hundred tell the percentiles; of a small test set each image is taken several times.
_ENOUGH = 204


def kurtosis_percentiles(
    learned: Corruption, model: Model, clean: NDArray[np.uint8]
) -> tuple[float, ...] | None:
    """0th to 100th percentile of the residual's excess kurtosis, over noisy test images as served.

    `clean` is `[B,H,W,C]`. Every level that was learned is as likely as any other. None where
    nothing normal was learned, or the images are too small to say.
    """
    if not isinstance(learned, Gaussian | GaussianUpTo) or not noise.is_enough(*clean.shape[1:3]):
        return None
    rng = np.random.default_rng(named(0, "residuals"))
    found = []
    for place in range(_ENOUGH):
        image = clean[place % len(clean)][None]
        noisy = corruption.Gaussian(_level(learned, rng))(image, rng)
        measured = noise.measure(noisy[0], model.reconstruct(noisy)[0])
        if measured is not None and measured.kurtosis is not None:
            found.append(measured.kurtosis)
    if len(found) < _ENOUGH // 2:
        return None
    percentiles = np.maximum.accumulate(np.percentile(found, np.arange(101)))
    return tuple(round(float(value), 6) for value in percentiles)


def _level(learned: Gaussian | GaussianUpTo, rng: np.random.Generator) -> float:
    """A standard deviation that it learned to take off, of 1."""
    if isinstance(learned, Gaussian):
        return learned.std
    return float(rng.uniform(learned.low, learned.high))
