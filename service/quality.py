"""The one definition of image quality: MSE, PSNR, SSIM and SNR, on inputs scaled to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PSNR_CAP = 100.0
_WINDOW = 11
_SIGMA = 1.5
_OFFSETS = np.arange(_WINDOW) - _WINDOW // 2
_TAPS = np.exp(-0.5 * (_OFFSETS / _SIGMA) ** 2)
_TAPS /= _TAPS.sum()
_C1, _C2 = 0.01**2, 0.03**2
# The float64 planes of one slice fit a cache: 1.7 times faster for 4,096 MNIST digits than slices
# of a million, 2.5 times for one image of 2000x2000x3 in bands than whole (one core, 2026-11).
_SLICE_PIXELS = 200_000


@dataclass(frozen=True)
class Quality:
    """Per-image scores, each `[B]`. `ssim` is NaN where an image is smaller than 11x11."""

    mse: Array
    psnr: Array
    ssim: Array
    snr: Array

    def mean(self) -> dict[str, float]:
        """The mean of each score over the images (of the dB values, not the dB of a mean)."""
        return {name: float(values.mean()) for name, values in vars(self).items()}


def measure(
    images: NDArray[np.uint8] | NDArray[np.floating],
    references: NDArray[np.uint8] | NDArray[np.floating],
) -> Quality:
    """Scores `images` against `references`, both `[B,H,W,C]`, uint8 or float in [0, 1].

    MSE   mean of the squared error over pixels and channels.
    PSNR  10 log10(1 / MSE) in dB, capped at 100.
    SSIM  Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, data range 1, population
          covariance, mean over channels and over the positions where the window fits.
    SNR   10 log10(mean(reference^2) / MSE) in dB, within [-100, 100].

    Raises:
        ValueError: the shapes differ, or there is no image.
    """
    if not len(images):
        raise ValueError("no image to score")
    if images.shape != references.shape:
        raise ValueError(f"images {images.shape} and references {references.shape} differ")
    height, width, channels = images.shape[1:]
    step = max(1, _SLICE_PIXELS // (height * width * channels))
    parts = [
        _measure(images[i : i + step], references[i : i + step])
        for i in range(0, len(images), step)
    ]
    return Quality(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _unit(images: NDArray[np.uint8] | NDArray[np.floating]) -> Array:
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    return images.astype(np.float64) / scale


def _measure(
    images: NDArray[np.uint8] | NDArray[np.floating],
    references: NDArray[np.uint8] | NDArray[np.floating],
) -> tuple[Array, Array, Array, Array]:
    count, height, width, channels = images.shape
    numbers = height * width * channels
    mse, power, ssim = np.zeros(count), np.zeros(count), np.zeros(count)
    rows, columns = height - _WINDOW + 1, width - _WINDOW + 1
    has_ssim = min(rows, columns) > 0
    step = max(1, _SLICE_PIXELS // (width * channels))
    for top in range(0, height, step):  # one band of rows, but for a large image
        x_BHWC = _unit(images[:, top : top + step + _WINDOW - 1])
        y_BHWC = _unit(references[:, top : top + step + _WINDOW - 1])
        own = slice(0, min(step, height - top))
        mse += np.square(x_BHWC[:, own] - y_BHWC[:, own]).sum((1, 2, 3))
        power += np.square(y_BHWC[:, own]).sum((1, 2, 3))
        if has_ssim and top < rows:
            ssim += _similarity(x_BHWC, y_BHWC).sum((1, 2, 3))
    mse /= numbers
    power /= numbers
    with np.errstate(divide="ignore", invalid="ignore"):
        psnr = np.minimum(-10 * np.log10(mse), PSNR_CAP)
        # A black reference has no signal and a perfect answer no noise; both have a sign.
        snr = np.clip(10 * (np.log10(power) - np.log10(mse)), -PSNR_CAP, PSNR_CAP)
    snr = np.where(mse == 0, PSNR_CAP, snr)
    ssim = ssim / (rows * columns * channels) if has_ssim else np.full(count, np.nan)
    return mse, psnr, ssim, snr


def _similarity(x_BHWC: Array, y_BHWC: Array) -> Array:
    mean_x, mean_y = _blur(x_BHWC), _blur(y_BHWC)
    variance_x = _blur(x_BHWC * x_BHWC) - mean_x * mean_x
    variance_y = _blur(y_BHWC * y_BHWC) - mean_y * mean_y
    covariance = _blur(x_BHWC * y_BHWC) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    similarity: Array = luminance * structure
    return similarity


def _blur(x_BHWC: Array) -> Array:
    """The Gaussian window's weighted mean, at the positions where it fits inside the image."""
    height, width = x_BHWC.shape[1:3]
    rows = np.zeros_like(x_BHWC[:, : height - _WINDOW + 1])
    for i, tap in enumerate(_TAPS):
        rows += tap * x_BHWC[:, i : i + rows.shape[1]]
    blurred = np.zeros_like(rows[:, :, : width - _WINDOW + 1])
    for i, tap in enumerate(_TAPS):
        blurred += tap * rows[:, :, i : i + blurred.shape[2]]
    return blurred
