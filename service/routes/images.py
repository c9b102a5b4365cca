"""POST /denoise and /reconstruct: images in, images out, with their quality."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service import corruption, images, quality
from service.catalog import AUTO, Served
from service.errors import Malformed, Unprocessable
from service.images import Fit, Images
from service.manifest import Ability, ImageShape
from service.routes import answers
from service.routes.bodies import REQUEST_BODY, Upload, read_upload
from service.routes.running import catalog_of, run_each

router = APIRouter(tags=["images"])

ModelQuery = Annotated[
    str, Query(description="a model's name, or `auto`: the best that takes the image as it is")
]
VersionQuery = Annotated[int | None, Query(ge=1, description="default: the highest")]
FitQuery = Annotated[
    Fit, Query(description="`exact` refuses a wrong size; `resize` resamples to the model's")
]
QualityQuery = Annotated[bool, Query(description="measure MSE, PSNR, SSIM and SNR")]
SeedQuery = Annotated[
    int | None,
    Query(ge=0, lt=2**63, description="repeats the same random numbers; the answer names it"),
]

IMAGE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        "description": "By Accept, else as the request came: PNG for one image, else JSON.",
    }
}


@router.post(
    "/denoise",
    response_model=answers.DenoiseAnswer,
    responses=IMAGE_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
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
    upload = await read_upload(request)
    if corrupt and upload.references:
        raise Malformed("simulate takes the upload as clean: send no references with it")
    kind = _kind_of_answer(request, upload)
    served = _choose(request, "denoise", upload, model, version, fit)
    taken = _fitted(upload.images, served.manifest.image, fit)
    references = _fitted(upload.references or [], served.manifest.image, fit) or None
    if corrupt:
        seed = secrets.randbits(32) if seed is None else seed
        rng = np.random.default_rng(seed)
        references, taken = taken, [corrupt(image[None], rng)[0] for image in taken]
    cleaned = [outputs[0] for outputs in await run_each(request, served, "reconstruct", taken)]
    scores = _before_and_after(taken, cleaned, references) if references and quality else None
    if scores:
        _observe(request, served, "denoise", scores.after)
    if kind == "image/png":
        headers = {"Seed": str(seed)} if corrupt else {}
        if scores:
            headers |= answers.quality_headers(scores.before.mean, "-Before")
            headers |= answers.quality_headers(scores.after.mean)
        return await answers.png(cleaned[0], served, headers)
    return answers.json_answer(
        answers.DenoiseAnswer(
            model=answers.model_name(served),
            images=await answers.base64_png(cleaned),
            noisy=await answers.base64_png(taken) if corrupt else None,
            seed=seed if corrupt else None,
            quality=scores,
            timing_ms=answers.timing_ms(request),
        )
    )


@router.post(
    "/reconstruct",
    response_model=answers.ReconstructAnswer,
    responses=IMAGE_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def reconstruct(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    quality: QualityQuery = True,
    fit: FitQuery = "exact",
) -> Response:
    """Images through the bottleneck and back, scored against themselves."""
    upload = await read_upload(request)
    kind = _kind_of_answer(request, upload)
    served = _choose(request, "reconstruct", upload, model, version, fit)
    taken = _fitted(upload.images, served.manifest.image, fit)
    made = [outputs[0] for outputs in await run_each(request, served, "reconstruct", taken)]
    scores = _against_input(made, taken, served) if quality else None
    if scores:
        _observe(request, served, "reconstruct", scores)
    if kind == "image/png":
        headers = {}
        if scores:
            headers = answers.quality_headers(scores.mean)
            headers["Anomaly-Percentile"] = f"{scores.anomaly_percentile[0]:.4g}"
        return await answers.png(made[0], served, headers)
    return answers.json_answer(
        answers.ReconstructAnswer(
            model=answers.model_name(served),
            images=await answers.base64_png(made),
            quality=scores,
            timing_ms=answers.timing_ms(request),
        )
    )


def _kind_of_answer(request: Request, upload: Upload) -> str:
    kinds = ["application/json", "image/png"]
    if len(upload.images) > 1:
        kinds = kinds[:1]  # one PNG is one image
    elif upload.kind == "image":
        kinds = kinds[::-1]
    return answers.negotiate(request, kinds)


def _choose(
    request: Request, ability: Ability, upload: Upload, model: str, version: int | None, fit: Fit
) -> Served:
    return catalog_of(request).choose(
        ability,
        name=model,
        version=version,
        shapes=[image.shape for image in upload.images],
        resizable=fit == "resize",
    )


def _fitted(taken: Sequence[Images], shape: ImageShape, fit: Fit) -> list[Images]:
    """The images as the model takes them: its channels, and its size if resizing was asked for.

    Raises:
        Unprocessable: a wrong size; the detail names the size that the model takes.
    """
    fitted = []
    for i, image in enumerate(taken):
        height, width = image.shape[:2]
        if not shape.fits(height, width) and fit != "resize":
            place = f"image {i}: " if len(taken) > 1 else ""
            raise Unprocessable(
                f"{place}the image is {width}x{height}, and this model takes {shape}: "
                "send that size, or ask for fit=resize",
                extra={"image": shape.model_dump(), "index": i},
            )
        size = (
            shape.height or max(height, shape.smallest),
            shape.width or max(width, shape.smallest),
        )
        resized = image if size == (height, width) else images.resize(image, *size)
        fitted.append(images.with_channels(resized, shape.channels))
    return fitted


def _measured(made: Sequence[Images], references: Sequence[Images]) -> answers.Scored:
    """Scores of images of any mixture of sizes, each against its reference.

    Raises:
        Unprocessable: a reference has another size than its image.
    """
    for i, (image, reference) in enumerate(zip(made, references, strict=True)):
        if image.shape != reference.shape:
            raise Unprocessable(
                f"reference {i} is {reference.shape[1]}x{reference.shape[0]}, but its image is "
                f"{image.shape[1]}x{image.shape[0]}: send the clean original of the same size"
            )
    parts = [
        quality.measure(image[None], reference[None])
        for image, reference in zip(made, references, strict=True)
    ]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return answers.scored(quality.Quality(*(np.concatenate(column) for column in columns)))


def _before_and_after(
    noisy: Sequence[Images], cleaned: Sequence[Images], references: Sequence[Images]
) -> answers.DenoiseQuality:
    before, after = _measured(noisy, references), _measured(cleaned, references)
    return answers.DenoiseQuality(
        before=before, after=after, gain_db=after.mean.psnr - before.mean.psnr
    )


def _against_input(
    made: Sequence[Images], taken: Sequence[Images], served: Served
) -> answers.ReconstructQuality:
    scores = _measured(made, taken)
    percentiles = served.manifest.error_percentiles
    return answers.ReconstructQuality(
        **dict(scores),
        anomaly_percentile=[
            float(np.interp(s.mse, percentiles, np.arange(len(percentiles))))
            for s in scores.per_image
        ],
    )


def _observe(request: Request, served: Served, verb: str, scores: answers.Scored) -> None:
    histogram = request.app.state.metrics.psnr.labels(served.manifest.name, verb)
    for row in scores.per_image:
        histogram.observe(row.psnr)
