"""Quality as the API gives it, and as Prometheus sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from fastapi import Request

from service import noise, quality
from service.errors import Unprocessable
from service.noise import Noise, is_enough
from service.quality import Quality
from service.routes.running import aside
from service.routes.schemas import DenoiseQuality, ReconstructQuality, Scored, Scores
from service.rows import Rows, shapes, size
from service.served import Served


async def before_and_after(
    request: Request,
    served: Served,
    noisy: Rows,
    cleaned: Rows,
    references: Rows,
) -> DenoiseQuality:
    """Scores against the clean originals, before the model and after it.

    Raises:
        Unprocessable: a reference has another size than its image.
    """
    _, before = await _measured(noisy, references)
    _, after = await _measured(cleaned, references)
    _observe(request, served, "denoise", after)
    return DenoiseQuality(before=before, after=after, gain_db=after.mean.psnr - before.mean.psnr)


async def against_input(
    request: Request, served: Served, made: Rows, taken: Rows
) -> ReconstructQuality:
    """Scores of reconstructions, each with its place among the model's own test errors."""
    measured, scores = await _measured(made, taken)
    known = served.manifest.error_percentiles
    percentiles = np.interp(measured.mse, known, np.arange(len(known))).tolist()
    _observe(request, served, "reconstruct", scores)
    anomaly = request.app.state.metrics.anomaly.labels(served.manifest.name)
    anomaly.observe_all(percentiles)
    return ReconstructQuality(**dict(scores), anomaly_percentile=percentiles)


class NoiseTold(NamedTuple):
    """Of each image, where it is known: the noise's deviation, and how unusual its kind is."""

    stds: list[float | None] | None = None
    anomaly_percentiles: list[float | None] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The means of those that are known, for answers that are binary."""
        if self.stds is None:
            return {}
        columns = {"Noise-Std": self.stds, "Noise-Anomaly-Percentile": self.anomaly_percentiles}
        known = {
            name: [value for value in column or () if value is not None]
            for name, column in columns.items()
        }
        return {
            name: f"{math.fsum(values) / len(values):.4g}"
            for name, values in known.items()
            if values
        }


_NOTHING = NoiseTold()


async def noise_told(request: Request, served: Served, noisy: Rows, cleaned: Rows) -> NoiseTold:
    """What the answer says of the noise; nothing for models of one size, and small images.

    Only a model for pictures of any size is asked: the digits of the others are too small to say.
    """
    if served.manifest.image.height is not None:
        return _NOTHING
    if not any(is_enough(height, width) for height, width, _ in shapes(noisy)):
        return _NOTHING
    found = await aside(lambda: list(map(noise.measure, noisy, cleaned)), pixels=size(noisy))
    stds = [None if each is None else round(each.std, 2) for each in found]
    known = served.manifest.noise_kurtosis_percentiles
    if not known:
        return NoiseTold(stds)
    places = [_place(each, known) for each in found]
    observed = request.app.state.metrics.noise_anomaly.labels(served.manifest.name)
    observed.observe_all([place for place in places if place is not None])
    return NoiseTold(stds, places)


def _place(measured: Noise | None, percentiles: Sequence[float]) -> float | None:
    if measured is None or measured.kurtosis is None:
        return None
    return round(float(np.interp(measured.kurtosis, percentiles, np.arange(len(percentiles)))), 1)


def scored(measured: Quality) -> Scored:
    """Quality as JSON has it."""
    rows = zip(*(column.tolist() for column in vars(measured).values()), strict=True)
    return Scored(
        mean=_scores(*measured.mean().values()), per_image=[_scores(*row) for row in rows]
    )


def headers(scores: Scores, suffix: str = "") -> dict[str, str]:
    """`Quality-PSNR` and so on, for answers that are binary."""
    return {
        f"Quality-{name.upper()}{suffix}": f"{value:.6g}"
        for name, value in scores.model_dump().items()
        if value is not None
    }


def _scores(mse: float, psnr: float, ssim: float, snr: float) -> Scores:
    return Scores(mse=mse, psnr=psnr, ssim=None if math.isnan(ssim) else ssim, snr=snr)


async def _measured(made: Rows, references: Rows) -> tuple[Quality, Scored]:
    """Scores of images of any mixture of sizes, in their order; those of one size together."""
    if (
        not isinstance(made, list)
        and not isinstance(references, list)
        and made.shape == references.shape
    ):
        return await aside(lambda: _both(quality.measure(made, references)), pixels=size(made))
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, (image, reference) in enumerate(zip(made, references, strict=True)):
        if image.shape != reference.shape:
            raise Unprocessable(
                f"reference {i} is {reference.shape[1]}x{reference.shape[0]}, but its image is "
                f"{image.shape[1]}x{image.shape[0]}: send the clean original of the same size",
                extra={"index": i},
            )
        sizes.setdefault(image.shape, []).append(i)

    def measure() -> tuple[Quality, Scored]:
        columns = np.empty((4, len(made)))
        for places in sizes.values():
            part = quality.measure(
                np.stack([made[i] for i in places]), np.stack([references[i] for i in places])
            )
            columns[:, places] = list(vars(part).values())
        return _both(Quality(*columns))

    return await aside(measure, pixels=size(made))


def _both(measured: Quality) -> tuple[Quality, Scored]:
    return measured, scored(measured)


def _observe(request: Request, served: Served, verb: str, scores: Scored) -> None:
    metrics, name = request.app.state.metrics, served.manifest.name
    psnr, ssim = metrics.psnr.labels(name, verb), metrics.ssim.labels(name, verb)
    psnr.observe_all([row.psnr for row in scores.per_image])
    ssim.observe_all([row.ssim for row in scores.per_image if row.ssim is not None])
