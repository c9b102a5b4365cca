"""POST /encode, /decode and /classify: images to latents and back, and to classes."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from service.catalog import AUTO
from service.errors import TooLarge, Unprocessable
from service.routes import answers, documents
from service.routes.bodies import read_upload
from service.routes.fitting import choose, fitted
from service.routes.latent_bodies import Floats, as_latents, read_latents
from service.routes.options import FitQuery, ModelQuery, VersionQuery
from service.routes.route import VerbRoute
from service.routes.running import catalog_of, run_each
from service.routes.schemas import ClassifyAnswer, DecodeAnswer, EncodeAnswer, Prediction
from service.rows import Rows, size, together
from service.served import Served

router = APIRouter(
    route_class=VerbRoute,
    tags=["latents"],
    generate_unique_id_function=documents.operation_id,
)


@router.post(
    "/encode",
    response_model=EncodeAnswer,
    responses=documents.answered(answers.NPY),
    openapi_extra=documents.body_of_images(),
)
async def encode(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    fit: FitQuery = "exact",
) -> Response:
    """Images to latents. JSON, with log-variances if variational; or npy float32 `[B,...]`."""
    upload = await read_upload(request)
    served = choose(request, "encode", upload.images, model=model, version=version, fit=fit)
    taken = await fitted(upload.images, served.manifest.image, fit)
    one_size, lacking = answers.image_kinds(len(taken), one_size=not isinstance(taken, list))
    kinds = [kind for kind in (answers.JSON, answers.NPY) if kind in one_size]
    kind = answers.negotiate(request, kinds, sent=upload.kind, lacking=lacking)
    columns = await run_each(request, served, "encode", taken)
    if kind == answers.NPY:
        return answers.array(columns[0], served)
    answer = EncodeAnswer(
        model=answers.model_name(served),
        latents=await answers.lists(columns[0]),
        log_variances=await answers.lists(columns[1]) if len(columns) > 1 else None,
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(answer, served, count=size(columns[0]))


@router.post(
    "/decode",
    response_model=DecodeAnswer,
    responses=documents.answered(*answers.ONE_IMAGE, answers.GIF, answers.NPY),
    openapi_extra=documents.BODY_OF_LATENTS,
)
async def decode(
    request: Request, model: ModelQuery = AUTO, version: VersionQuery = None
) -> Response:
    """Latents to images. Name the model that made them: `auto` goes by their shape alone.

    JSON, a picture (of several images, a PNG with all of them in a grid, or a GIF that shows one
    after the other), or npy.
    """
    sent, arrays = await read_latents(request)
    served, latents = _decoder_of(request, arrays, model, version)
    _check_size(request, served, latents)
    kinds, lacking = answers.image_kinds(
        len(latents), one_size=not isinstance(latents, list), sheet=True
    )
    if answers.PNG in kinds:
        kinds = (*kinds, answers.GIF)
    kind = answers.negotiate(request, kinds, sent=sent, lacking=lacking)
    (made,) = await run_each(request, served, "decode", latents)
    if kind != answers.JSON:
        return await answers.pictures(kind, made, served)
    answer = DecodeAnswer(
        model=answers.model_name(served),
        images=await answers.base64_png(made),
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(answer, served)


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    responses=documents.answered(answers.NPY),
    openapi_extra=documents.body_of_images(),
)
async def classify(
    request: Request,
    model: ModelQuery = AUTO,
    version: VersionQuery = None,
    fit: FitQuery = "exact",
) -> Response:
    """Images to class probabilities, from the latents. JSON, or npy float32 `[B,K]`."""
    upload = await read_upload(request)
    served = choose(request, "classify", upload.images, model=model, version=version, fit=fit)
    taken = await fitted(upload.images, served.manifest.image, fit)
    kind = answers.negotiate(request, (answers.JSON, answers.NPY), sent=upload.kind)
    (rows,) = await run_each(request, served, "classify", taken)
    if kind == answers.NPY:
        return answers.array(rows, served)
    classes = served.manifest.classes
    answer = ClassifyAnswer(
        model=answers.model_name(served),
        classes=list(classes),
        predictions=[_prediction(row, classes) for row in rows],
        timing_ms=answers.timing_ms(request),
    )
    return await answers.json_answer(answer, served, count=len(rows) * len(classes))


def _prediction(probabilities: Floats, classes: Sequence[str]) -> Prediction:
    best = int(probabilities.argmax())
    values = probabilities.tolist()
    return Prediction(
        label=classes[best],
        probability=values[best],
        probabilities=dict(zip(classes, values, strict=True)),
    )


def _decoder_of(
    request: Request, sent: Sequence[Floats], model: str, version: int | None
) -> tuple[Served, Rows]:
    """The model asked for, or the best whose latents have this shape; and the latents as its own.

    Raises:
        Unprocessable: the latents are not of its shape, or of no model's.
    """
    catalog = catalog_of(request)
    served = catalog.choose("decode", name=model, version=version)
    candidates = catalog.ranking("decode") if model == AUTO else [served]
    for candidate in candidates:
        latents = as_latents(sent, candidate.manifest.latent_shape)
        if latents is not None:
            return candidate, together(latents)
    found = " and ".join(sorted({str(list(array.shape)) for array in sent})[:2])
    shapes = {served.manifest.name: served.manifest.latent_shape for served in candidates}
    known = ", ".join(
        f"{name} {list(shape)}".replace("None", "any") for name, shape in shapes.items()
    )
    raise Unprocessable(
        f"latents of shape {found} an image are not those of {known}: send what POST /encode "
        "gave, and name the model that gave it",
        extra={"latent_shapes": shapes},
    )


def _check_size(request: Request, served: Served, latents: Rows) -> None:
    """Refuses what would decode to more pixels than one request may send."""
    pixels = size(latents) * served.pixels_per_latent
    limit = request.app.state.settings.whole_pixels
    if pixels > limit:
        raise TooLarge(
            f"these latents would become {round(pixels)} pixels; up to {limit} are made in one "
            "request: send fewer"
        )
