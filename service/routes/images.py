"""POST /denoise and /reconstruct: images in, images out, with their quality."""

from __future__ import annotations

import secrets
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service import corruption
from service.catalog import AUTO
from service.corruption import Corruption, Damage
from service.errors import Malformed
from service.routes import answers, documents, scoring
from service.routes.bodies import read_upload
from service.routes.fitting import choose, fitted
from service.routes.keeping import kept_by
from service.routes.options import FitQuery, ModelQuery, QualityQuery, SeedQuery, VersionQuery
from service.routes.progressing import told
from service.routes.route import VerbRoute
from service.routes.running import aside, run_each
from service.routes.schemas import DenoiseAnswer, ReconstructAnswer
from service.rows import Rows, size, together

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
    served = choose(
        request, "denoise", upload.images, model=model, version=version, fit=fit, undoing=undoing
    )
    if upload.kept is not None:
        upload = await kept_by(upload, upload.kept, served.manifest.image)
    taken = await fitted(upload.images, served.manifest.image, fit)
    kinds, lacking = answers.image_kinds(len(taken), one_size=not isinstance(taken, list))
    kind = answers.negotiate(request, kinds, sent=upload.kind, lacking=lacking, told=True)
    clean = upload.references
    if clean is not None:
        clean = await fitted(clean, served.manifest.image, fit)
    if corrupt:
        seed = secrets.randbits(32) if seed is None else seed
        clean, taken = taken, await _corrupted(taken, corrupt, seed)

    async def answer() -> Response:
        (made,) = await run_each(request, served, "reconstruct", taken)
        scores = (
            await scoring.before_and_after(request, served, taken, made, clean)
            if clean is not None and quality
            else None
        )
        noise = await scoring.noise_told(request, served, taken, made)
        if kind != answers.JSON:
            headers = {"Seed": str(seed)} if corrupt else {}
            headers |= noise.headers
            if scores:
                headers |= scoring.headers(scores.before.mean, "-Before")
                headers |= scoring.headers(scores.after.mean)
            return await answers.pictures(kind, made, served, headers, kept=upload.kept)
        body = DenoiseAnswer(
            model=answers.model_name(served),
            images=await answers.base64_png(made, upload.kept),
            noisy=await answers.base64_png(taken) if corrupt else None,
            seed=seed if corrupt else None,
            quality=scores,
            noise_std=noise.stds,
            noise_anomaly_percentile=noise.anomaly_percentiles,
            timing_ms=answers.timing_ms(request),
        )
        return await answers.json_answer(body, served, count=size(made) // answers.COPYING)

    return await told(request, answer)


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
    served = choose(request, "reconstruct", upload.images, model=model, version=version, fit=fit)
    if upload.kept is not None:
        upload = await kept_by(upload, upload.kept, served.manifest.image)
    taken = await fitted(upload.images, served.manifest.image, fit)
    kinds, lacking = answers.image_kinds(len(taken), one_size=not isinstance(taken, list))
    kind = answers.negotiate(request, kinds, sent=upload.kind, lacking=lacking, told=True)

    async def answer() -> Response:
        (made,) = await run_each(request, served, "reconstruct", taken)
        scores = await scoring.against_input(request, served, made, taken) if quality else None
        if kind != answers.JSON:
            headers = {}
            if scores:
                headers = scoring.headers(scores.mean)
                headers["Anomaly-Percentile"] = f"{np.mean(scores.anomaly_percentile):.4g}"
            return await answers.pictures(kind, made, served, headers, kept=upload.kept)
        body = ReconstructAnswer(
            model=answers.model_name(served),
            images=await answers.base64_png(made, upload.kept),
            quality=scores,
            timing_ms=answers.timing_ms(request),
        )
        return await answers.json_answer(body, served, count=size(made) // answers.COPYING)

    return await told(request, answer)


async def _corrupted(clean: Rows, corrupt: Corruption, seed: int) -> Rows:
    rng = np.random.default_rng(seed)

    def work() -> Rows:
        return together([corrupt(image[None], rng)[0] for image in clean])

    return await aside(work, pixels=size(clean))
