"""POST /interpolate and /sample: images that nobody sent."""

from __future__ import annotations

import math
import secrets
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service import interpolation, sampling
from service.catalog import AUTO
from service.errors import AbilityMissing, Malformed, TooLarge, Unprocessable
from service.manifest import Prior
from service.routes import answers, documents
from service.routes.bodies import SEVERAL, read_upload
from service.routes.fitting import choose, fitted
from service.routes.options import FitQuery, ModelQuery, SeedQuery, VersionQuery
from service.routes.route import VerbRoute
from service.routes.running import catalog_of, run_each
from service.routes.schemas import InterpolateAnswer, SampleAnswer
from service.rows import together
from service.served import Served

router = APIRouter(
    route_class=VerbRoute,
    tags=["latents"],
    generate_unique_id_function=documents.operation_id,
)


@router.post(
    "/interpolate",
    response_model=InterpolateAnswer,
    responses=documents.answered(answers.PNG, answers.GIF, answers.NPY),
    openapi_extra=documents.body_of_images(exactly=2),
)
async def interpolate(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    steps: Annotated[int, Query(ge=2, le=100, description="how many images, ends included")] = 10,
    path: Annotated[
        interpolation.Path,
        Query(description="a straight line between the latents, or the great circle"),
    ] = "linear",
    fit: FitQuery = "exact",
) -> Response:
    """The way from one image to another, through the latents. The ends are the reconstructions.

    JSON with each image, a PNG strip, an animated GIF, or npy `[steps,H,W,C]`.
    """
    upload = await read_upload(request, taken=SEVERAL)
    if len(upload.images) != 2:
        raise Malformed(f"{len(upload.images)} images: send two, the start and the end")
    served = choose(request, "interpolate", upload.images, model=model, version=version, fit=fit)
    start, end = await fitted(upload.images, served.manifest.image, fit)
    if start.shape != end.shape:
        raise Unprocessable(
            f"the images are {start.shape[1]}x{start.shape[0]} and {end.shape[1]}x{end.shape[0]}: "
            "send two of one size"
        )
    _check_size(request, steps, start.shape[0] * start.shape[1])
    kinds = (answers.JSON, answers.PNG, answers.GIF, answers.NPY)
    kind = answers.negotiate(request, kinds, sent=upload.kind)
    encoded, *_ = await run_each(request, served, "encode", together([start, end]))
    latents = interpolation.between(*encoded, steps=steps, path=path)
    (made,) = await run_each(request, served, "decode", latents)
    if kind != answers.JSON:
        return await answers.pictures(kind, made, served, columns=steps)
    answer = InterpolateAnswer(
        model=answers.model_name(served),
        images=await answers.base64_png(made),
        path=path,
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(answer, served)


@router.post(
    "/sample",
    response_model=SampleAnswer,
    responses=documents.answered(*answers.ONE_IMAGE, answers.NPY, headers=("Seed", "Prior")),
)
async def sample(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    count: Annotated[int, Query(ge=1, le=1024, description="how many images")] = 16,
    seed: SeedQuery = None,
    temperature: Annotated[
        float,
        Query(ge=0, le=10, description="scale of the randomness: below 1 safer, above 1 wilder"),
    ] = 1.0,
    prior: Annotated[
        Literal["auto", "standard", "mixture"],
        Query(
            description="what the latents are drawn from: the `standard` normal that a "
            "variational model was trained towards, or the `mixture` of Gaussians fitted to the "
            "latents of real images; `auto` takes the mixture where the model has one"
        ),
    ] = "auto",
) -> Response:
    """New images, decoded from random latents. A PNG grid, JSON with each image, or npy."""
    served, drawn_from = _sampler(request, model, version, prior)
    shape = served.manifest.image
    _check_size(request, count, (shape.height or 1) * (shape.width or 1))
    kinds, lacking = answers.image_kinds(count, sheet=True)
    kind = answers.negotiate(request, kinds, sent="image", lacking=lacking)
    seed = secrets.randbits(32) if seed is None else seed
    latents = sampling.normals(served.latent_shape(), count, seed=seed, temperature=temperature)
    if drawn_from == "mixture":
        packed = sampling.packed(latents, seed=seed)
        (drawn,) = await run_each(request, served, "sample", packed)
        latents = np.asarray(drawn)
    (made,) = await run_each(request, served, "decode", latents)
    if kind != answers.JSON:
        headers = {"Seed": str(seed), "Prior": drawn_from}
        return await answers.pictures(kind, made, served, headers)
    answer = SampleAnswer(
        model=answers.model_name(served),
        images=await answers.base64_png(made),
        seed=seed,
        temperature=temperature,
        prior=drawn_from,
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(answer, served)


def _sampler(
    request: Request, model: str, version: int | None, prior: Literal["auto"] | Prior
) -> tuple[Served, Prior]:
    """The model asked for, or the best that has this prior; and which prior is drawn from.

    Raises:
        AbilityMissing: it has not.
    """
    catalog = catalog_of(request)
    served = catalog.choose("sample", name=model, version=version)
    ranking = catalog.ranking("sample")
    for candidate in ranking if model == AUTO else [served]:
        priors = candidate.manifest.priors
        if prior == "auto":
            return candidate, priors[0]
        if prior in priors:
            return candidate, prior
    others = [other.manifest.name for other in ranking if prior in other.manifest.priors]
    who = "no model that is served here can" if model == AUTO else f"{model} cannot"
    raise AbilityMissing(
        f"{who} sample with prior={prior}: ask for prior=auto",
        extra={"priors": served.manifest.priors, "models": others},
    )


def _check_size(request: Request, count: int, pixels: int) -> None:
    """Refuses to make more pixels than one request may send."""
    limit = request.app.state.settings.whole_pixels
    if count * pixels > limit:
        raise TooLarge(
            f"{count} images of {pixels} pixels; up to {limit} pixels are made in one request: "
            f"ask for {max(1, math.floor(limit / pixels))}"
        )
