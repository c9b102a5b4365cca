"""Every verb of the service: the requests it takes, and the result its answers make."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from service import npy
from service.client import answers, pictures
from service.client.answers import Sent
from service.client.batches import AUTO, FILE, JSON, RAW, Limits, asking, in_batches
from service.client.errors import Unreachable
from service.client.exchange import Retries, Steps, answered, good
from service.client.parts import Progress
from service.client.pictures import Body, Picture, Pictures
from service.client.results import (
    Card,
    Classified,
    Denoised,
    Floats,
    Images,
    Latents,
    Models,
    Ready,
    Reconstructed,
    Sampled,
)

Fit = Literal["exact", "resize"]
LatentsLike = Latents | NDArray[Any] | Sequence[NDArray[Any]]

_ONCE = Retries(times=0)


class Verbs:
    """What `Client` and `AsyncClient` have in common: all but the sending."""

    def __init__(self, retries: Retries, limits: Limits) -> None:
        self._retries = retries
        self._limits = limits

    def denoise(
        self,
        images: Pictures,
        *,
        model: str = AUTO,
        version: int | None = None,
        references: Pictures | None = None,
        simulate: str | None = None,
        seed: int | None = None,
        quality: bool = True,
        fit: Fit = "exact",
        progress: Progress | None = None,
    ) -> Steps[Denoised]:
        """Noisy images to clean images.

        Args:
            images: arrays, PIL images, paths, encoded bytes, or a list of these.
            model: NAME, NAME/VERSION, or `auto`: the best that takes the images as they are.
            version: of the model; the highest by default.
            references: the clean originals, as many: they give `quality`, before and after.
            simulate: `gaussian:STD` or `occlusion:SIDE`: takes the images as clean, corrupts
                them first, and scores against them.
            seed: repeats the same corruption.
            quality: False measures nothing, which is faster.
            fit: `resize` resamples images of a wrong size, which `exact` refuses.
            progress: called with the share that is done, from 0 to 1: a photograph takes long.
        """
        if simulate is None:
            seed = None
        elif seed is None:
            seed = secrets.randbits(32)  # drawn here, for one call may be several requests
        query = {"model": model, "version": version, "quality": quality, "fit": fit}
        sent = yield from self._send(
            "/denoise",
            {**query, "simulate": simulate},
            images,
            references=references,
            accept=FILE if simulate is None and references is None else JSON,
            seed=seed,
            tells=True,
            progress=progress,
        )
        return Denoised(
            **answers.common(sent),
            images=answers.images(sent),
            files=answers.files(sent),
            quality=answers.denoise_quality(sent),
            noise_std=answers.of_noise(sent, "Noise-Std"),
            noise_anomaly_percentile=answers.of_noise(sent, "Noise-Anomaly-Percentile"),
            noisy=answers.images(sent, "noisy") if simulate else None,
            seed=seed,
        )

    def reconstruct(
        self,
        images: Pictures,
        *,
        model: str = AUTO,
        version: int | None = None,
        quality: bool = True,
        fit: Fit = "exact",
    ) -> Steps[Reconstructed]:
        """Images through the bottleneck and back, scored against themselves.

        `quality.anomaly_percentile` says how unlike the model's own test images each one is.
        """
        query = {"model": model, "version": version, "quality": quality, "fit": fit}
        accept = JSON if quality else FILE
        sent = yield from self._send("/reconstruct", query, images, accept=accept, tells=True)
        return Reconstructed(
            **answers.common(sent),
            images=answers.images(sent),
            files=answers.files(sent),
            quality=answers.reconstruct_quality(sent),
        )

    def encode(
        self,
        images: Pictures,
        *,
        model: str = AUTO,
        version: int | None = None,
        log_variances: bool = True,
        fit: Fit = "exact",
    ) -> Steps[Latents]:
        """Images to latents, and log-variances where the model is variational.

        Without `log_variances` the latents travel as raw floats, which is faster.
        """
        query = {"model": model, "version": version, "fit": fit}
        accept = JSON if log_variances else RAW
        sent = yield from self._send("/encode", query, images, accept=accept)
        return Latents(
            **answers.common(sent),
            latents=answers.floats(sent, "latents"),
            log_variances=answers.floats(sent, "log_variances") or None if log_variances else None,
        )

    def decode(
        self, latents: LatentsLike, *, model: str = AUTO, version: int | None = None
    ) -> Steps[Images]:
        """Latents to images: what `encode` gave, an array `[B,...]`, or a list of arrays.

        What `encode` gave is decoded by the model that made it, unless another is named.
        """
        if isinstance(latents, Latents):
            if model == AUTO:
                model, version = latents.model.name, latents.model.version
            latents = latents.latents
        rows = [np.asarray(row, np.float32) for row in latents]
        if not rows:
            raise ValueError("there are no latents to send")
        sent = yield from in_batches(
            "/decode",
            {"model": model, "version": version},
            rows,
            _latents_body,
            retries=self._retries,
            limits=self._limits,
            accept=RAW,
            alike=True,
        )
        return Images(**answers.common(sent), images=answers.images(sent))

    def interpolate(
        self,
        first: Picture,
        second: Picture,
        *,
        steps: int = 10,
        path: Literal["linear", "spherical"] = "linear",
        model: str = AUTO,
        version: int | None = None,
        fit: Fit = "exact",
    ) -> Steps[Images]:
        """`steps` images (2 to 100) between two through latent space, both ends included."""
        ends = [*pictures.items(first), *pictures.items(second)]
        query = {"model": model, "version": version, "steps": steps, "path": path, "fit": fit}
        ask = asking("POST", "/interpolate", query, accept=RAW, body=pictures.body(ends))
        sent = [Sent((yield from good(ask, self._retries)))]
        return Images(**answers.common(sent), images=answers.images(sent))

    def sample(
        self,
        count: int = 16,
        *,
        seed: int | None = None,
        temperature: float = 1.0,
        prior: Literal["auto", "standard", "mixture"] = "auto",
        model: str = AUTO,
        version: int | None = None,
    ) -> Steps[Sampled]:
        """New images (up to 1024) from a generative model; the same seed gives the same ones.

        Args:
            count: how many.
            seed: the result names the one that was drawn, if none is given.
            temperature: scale of the randomness: below 1 safer, above 1 wilder.
            prior: the `standard` normal, the `mixture` fitted to latents of real images, or
                `auto`: the mixture where the model has one.
            model: NAME, NAME/VERSION, or `auto`: the best that can.
            version: of the model; the highest by default.
        """
        drawn = {"count": count, "seed": seed, "temperature": temperature, "prior": prior}
        query = {"model": model, "version": version, **drawn}
        ask = asking("POST", "/sample", query, accept=RAW)
        sent = Sent((yield from good(ask, self._retries)))
        return Sampled(
            **answers.common([sent]),
            images=answers.images([sent]),
            seed=int(sent.said("Seed")),
            prior=sent.said("Prior"),
            temperature=temperature,
        )

    def classify(
        self,
        images: Pictures,
        *,
        model: str = AUTO,
        version: int | None = None,
        fit: Fit = "exact",
    ) -> Steps[Classified]:
        """Images to the probabilities of the model's classes."""
        query = {"model": model, "version": version, "fit": fit}
        sent = yield from self._send("/classify", query, images)
        classes, probabilities = answers.probabilities(sent)
        return Classified(
            **answers.common(sent),
            classes=classes,
            labels=tuple(classes[best] for best in probabilities.argmax(1)),
            probabilities=probabilities,
        )

    def models(self) -> Steps[Models]:
        """Every model that is served, its abilities and its measured quality."""
        response = yield from good(asking("GET", "/models"), self._retries)
        return answers.read(Models, answers.json_of(response), response)

    def model(self, name: str, *, version: int | None = None) -> Steps[Card]:
        """A model's card (NAME, or NAME/VERSION): manifest, scores, recipe, provenance."""
        name, _, said = name.partition("/")
        # Dots too: `..` would be taken for the folder above before the service ever saw it.
        path = f"/models/{quote(name, safe='').replace('.', '%2E')}"
        ask = asking("GET", path, {"version": version or said or None})
        response = yield from good(ask, self._retries)
        return answers.read(Card, answers.json_of(response), response)

    def ready(self) -> Steps[Ready]:
        """Whether every model answers correctly just now; if not, false and no exception."""
        # Asked once: here a 503 is the answer.
        response = yield from answered(asking("GET", "/health/ready"), _ONCE)
        return answers.read(Ready, answers.json_of(response), response)

    def live(self) -> Steps[bool]:
        """Whether a service answers at all."""
        try:
            response = yield from answered(asking("GET", "/health/live"), _ONCE)
        except Unreachable:
            return False
        return response.status_code == 200

    def _send(
        self,
        path: str,
        query: dict[str, Any],
        images: Pictures,
        *,
        references: Pictures | None = None,
        accept: str = JSON,
        seed: int | None = None,
        tells: bool = False,
        progress: Progress | None = None,
    ) -> Steps[list[Sent]]:
        items = pictures.items(images)
        originals = [] if references is None else pictures.items(references)
        if not items:
            raise ValueError("there is no image to send")
        if accept == FILE and not all(isinstance(item, Path | bytes) for item in items):
            accept = RAW
        if originals and len(originals) != len(items):
            raise ValueError(f"{len(originals)} references for {len(items)} images: send as many")
        return (
            yield from in_batches(
                path,
                query,
                items,
                pictures.body,
                retries=self._retries,
                limits=self._limits,
                accept=accept,
                references=originals,
                seed=seed,
                tells=tells,
                progress=progress,
            )
        )


def _latents_body(rows: Sequence[Floats], _: Sequence[Floats]) -> Body:
    return Body(npy.write(np.stack(rows)), npy.MEDIA_TYPE)
