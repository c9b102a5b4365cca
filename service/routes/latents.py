"""POST /sample: new images from a variational model's prior."""

from __future__ import annotations

import secrets
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service import images
from service.catalog import AUTO
from service.routes import answers
from service.routes.images import IMAGE_ANSWERS, ModelQuery, SeedQuery, VersionQuery
from service.routes.running import catalog_of, run_each

router = APIRouter(tags=["latents"])


@router.post("/sample", response_model=answers.SampleAnswer, responses=IMAGE_ANSWERS)
async def sample(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    count: Annotated[int, Query(ge=1, le=1024, description="how many images")] = 16,
    seed: SeedQuery = None,
    temperature: Annotated[
        float, Query(ge=0, le=10, description="scale of the prior: below 1 safer, above 1 wilder")
    ] = 1.0,
) -> Response:
    """New images, decoded from draws of the prior. A PNG grid, or JSON with each image."""
    kind = answers.negotiate(request, ["image/png", "application/json"])
    served = catalog_of(request).choose("sample", name=model, version=version)
    seed = secrets.randbits(32) if seed is None else seed
    shape = [axis or 1 for axis in served.manifest.latent_shape]
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((count, *shape), dtype=np.float32) * np.float32(temperature)
    made = [outputs[0] for outputs in await run_each(request, served, "decode", list(latents))]
    if kind == "image/png":
        return await answers.png(images.grid(np.stack(made)), served, {"Seed": str(seed)})
    return answers.json_answer(
        answers.SampleAnswer(
            model=answers.model_name(served),
            images=await answers.base64_png(made),
            seed=seed,
            temperature=temperature,
            timing_ms=answers.timing_ms(request),
        )
    )
