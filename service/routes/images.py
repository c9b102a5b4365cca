"""POST /denoise and /reconstruct: images in, images out, with their quality."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service import corruption
from service.catalog import AUTO
from service.corruption import Corruption, Damage
from service.errors import Malformed
from service.images import Fit
from service.routes import answers, documents, scoring
from service.routes.bodies import Upload, read_upload
from service.routes.fitting import choose, fitted
from service.routes.keeping import Keeps, kept_by
from service.routes.options import FitQuery, ModelQuery, QualityQuery, SeedQuery, VersionQuery
from service.routes.progressing import accepted, told
from service.routes.route import VerbRoute
from service.routes.running import aside, catalog_of, run_each
from service.routes.schemas import DenoiseAnswer, ReconstructAnswer
from service.rows import Rows, size, together
from service.served import Served

router = APIRouter(
    route_class=VerbRoute,
    tags=["images"],
    generate_unique_id_function=documents.operation_id,
)


@router.post(
    "/denoise",
    response_model=DenoiseAnswer,
    responses=documents.answered(
        *answers.ONE_IMAGE,
        answers.NPY,
        headers=("Seed", *documents.NOISE, *documents.QUALITY, *documents.BEFORE),
        told=True,
    ),
    openapi_extra=documents.body_of_images(references=True),
)
async def denoise(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    simulate: Annotated[
        str | None,
        Query(
            description="take the upload as clean, corrupt it first, and score against it: "
            "`gaussian:STD` (of 1) or `occlusion:SIDE` (pixels)",
            examples=["gaussian:0.2"],
        ),
    ] = None,
    seed: SeedQuery = None,
    quality: QualityQuery = True,
    fit: FitQuery = "exact",
) -> Response:
    """Noisy images to clean images. With references or `simulate`, quality before and after."""
    corrupt = corruption.parse(simulate) if simulate is not None else None
    upload = await read_upload(request, references=True, straight=True)
    if corrupt and upload.references is not None:
        raise Malformed("simulate takes the upload as clean: send no references with it")
    undoing: Damage = corrupt.damage if corrupt else "gaussian"
    served, upload = await _prepared(request, "denoise", upload, model, version, fit, undoing)
    taken, clean = upload.images, upload.references if quality else None
    accept = accepted(request)
    kind = answers.kind_of_images(accept, taken, upload.kind)
    sown = None
    if corrupt:
        sown = secrets.randbits(32) if seed is None else seed
        clean = taken if quality else None
        taken = await _corrupted(taken, corrupt, sown)
    work = partial(_clean, request, served, taken, clean, kind, upload.kept, sown)
    return await told(request, accept, work)


async def _clean(
    request: Request,
    served: Served,
    taken: Rows,
    clean: Rows | None,
    kind: str,
    kept: Keeps,
    seed: int | None,
) -> Response:
    """The answer to `/denoise`; with a seed, the images are corrupted by it."""
    (made,) = await run_each(request, served, "reconstruct", taken)
    scores = None
    if clean is not None:
        scores = await scoring.before_and_after(request, served, taken, made, clean)
    noise = await scoring.noise_told(request, served, taken, made)
    if kind != answers.JSON:
        headers = noise.headers
        if seed is not None:
            headers["Seed"] = str(seed)
        if scores:
            headers |= scoring.headers(scores.before.mean, "-Before")
            headers |= scoring.headers(scores.after.mean)
        return await answers.pictures(kind, made, served, headers, kept=kept)
    body = DenoiseAnswer(
        model=answers.model_name(served),
        images=await answers.base64_png(made, kept),
        noisy=await answers.base64_png(taken) if seed is not None else None,
        seed=seed,
        quality=scores,
        noise_std=noise.stds,
        noise_anomaly_percentile=noise.anomaly_percentiles,
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(body, served, count=size(made) // answers.COPYING)


@router.post(
    "/reconstruct",
    response_model=ReconstructAnswer,
    responses=documents.answered(
        *answers.ONE_IMAGE,
        answers.NPY,
        headers=("Anomaly-Percentile", *documents.QUALITY),
        told=True,
    ),
    openapi_extra=documents.body_of_images(),
)
async def reconstruct(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    quality: QualityQuery = True,
    fit: FitQuery = "exact",
) -> Response:
    """Images through the bottleneck and back, scored against themselves."""
    upload = await read_upload(request, straight=True)
    served, upload = await _prepared(request, "reconstruct", upload, model, version, fit)
    taken = upload.images
    accept = accepted(request)
    kind = answers.kind_of_images(accept, taken, upload.kind)
    work = partial(_reconstructed, request, served, taken, kind, upload.kept, quality)
    return await told(request, accept, work)


async def _reconstructed(
    request: Request, served: Served, taken: Rows, kind: str, kept: Keeps, quality: bool
) -> Response:
    """The answer to `/reconstruct`."""
    (made,) = await run_each(request, served, "reconstruct", taken)
    scores = await scoring.against_input(request, served, made, taken) if quality else None
    if kind != answers.JSON:
        headers = {}
        if scores:
            headers = scoring.headers(scores.mean)
            headers["Anomaly-Percentile"] = f"{np.mean(scores.anomaly_percentile):.4g}"
        return await answers.pictures(kind, made, served, headers, kept=kept)
    body = ReconstructAnswer(
        model=answers.model_name(served),
        images=await answers.base64_png(made, kept),
        quality=scores,
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(body, served, count=size(made) // answers.COPYING)


async def _prepared(
    request: Request,
    ability: Literal["denoise", "reconstruct"],
    upload: Upload,
    model: str,
    version: int | None,
    fit: Fit,
    undoing: Damage = "gaussian",
) -> tuple[Served, Upload]:
    """The model to use, and the upload as it takes it.

    Which model takes images of some shape as they are is remembered until the models change.
    """
    catalog, sent = catalog_of(request), upload.images
    key: tuple[object, ...] = ()
    if upload.kept is None and upload.references is None and not isinstance(sent, list):
        key = ability, model, version, fit, undoing, sent.shape[1:]
        if served := catalog.remembered.get(key):
            return served, upload
    served = choose(request, ability, sent, model=model, version=version, fit=fit, undoing=undoing)
    if upload.kept is not None:
        upload = await kept_by(upload, upload.kept, served.manifest.image)
    taken = await fitted(upload.images, served.manifest.image, fit)
    if taken is sent and key and fit == "exact":
        catalog.remember(key, served)
    clean = upload.references
    if clean is not None:
        clean = await fitted(clean, served.manifest.image, fit)
    return served, replace(upload, images=taken, references=clean)


async def _corrupted(clean: Rows, corrupt: Corruption, seed: int) -> Rows:
    rng = np.random.default_rng(seed)

    def work() -> Rows:
        return together([corrupt(image[None], rng)[0] for image in clean])

    return await aside(work, pixels=size(clean))
