"""The Open Inference Protocol under /v2: health, metadata, configuration, statistics, inference.

What a model is here, how image files travel, and which parameters count: see `service.protocol`.
Every fault is `{"error": "text"}`, which is all that the protocol's clients can read.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from service import problems
from service.canaries import FINE, OK
from service.protocol import configuration, parts, wire
from service.protocol.schemas import (
    Error,
    InferenceAnswer,
    InferenceRequest,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    StatisticsAnswer,
)
from service.routes import examples, health, inference
from service.routes.running import catalog_of

# Every status that a problem document may have: here it is the protocol's error instead.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": described["description"]}
    for status, described in problems.RESPONSES.items()
}

router = APIRouter(prefix="/v2", tags=["inference protocol"], responses=RESPONSES)

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
    "trace",
]

Model = Annotated[
    str,
    Path(
        description="NAME, NAME.encoder, NAME.decoder or NAME.classifier", examples=["mnist-vae-6"]
    ),
]

# A digit as a file, which any model of 28x28 takes: whole, or its encoder.
EXAMPLE: dict[str, Any] = {
    "inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": [examples.CLEAN]}]
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_HEADER = {
    "name": wire.HEADER,
    "in": "header",
    "required": False,
    "description": "how many bytes of JSON the body starts with; without it, all of it is JSON",
    "schema": {"type": "string"},
}
_INFER: dict[str, Any] = {
    "responses": {
        200: {
            "description": "JSON; if any output is binary, its bytes follow and the header "
            f"`{wire.HEADER}` says where",
            "content": {wire.BINARY: _BINARY},
        }
    },
    "openapi_extra": {
        "parameters": [_HEADER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": InferenceRequest.model_json_schema(),
                    "example": EXAMPLE,
                },
                wire.BINARY: _BINARY,
            },
        },
    },
}


def json_body(schema: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a small JSON body that may be left out."""
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


@router.get("")
async def server() -> ServerMetadata:
    """The server's name and version, and the extensions of the protocol that it has."""
    version = installed_version("autoencoder-service")
    return ServerMetadata(name="autoencoder-service", version=version, extensions=EXTENSIONS)


@router.get("/health/live")
async def live(request: Request, response: Response) -> Live:
    """The process is up."""
    answer = await health.live(request, response)
    return Live(live=answer.live)


@router.get("/health/ready", responses={503: {"model": Ready}}, response_model_exclude_none=True)
async def ready(request: Request, response: Response) -> Ready:
    """A real inference went through the real queue of every model just now."""
    answer = await health.ready(request, response)
    faults = [f"{key}: {result}" for key, result in answer.models.items() if result not in FINE]
    faults += [f"worker {key}: {state}" for key, state in answer.workers.items() if state != OK]
    return Ready(ready=answer.ready, error="; ".join(faults) or None)


# Before /models/{model}: no model can be called stats.
@router.get("/models/stats")
async def all_statistics(request: Request) -> StatisticsAnswer:
    """What every model did since it was loaded."""
    every = [part for served in catalog_of(request) for part in parts.of(served)]
    return StatisticsAnswer(model_stats=[configuration.statistics(part) for part in every])


@router.get("/models/{model}/stats")
@router.get("/models/{model}/versions/{version}/stats")
async def statistics(
    request: Request, model: Model, version: str | None = None
) -> StatisticsAnswer:
    """What one model did since it was loaded; every version unless one is given."""
    catalog = catalog_of(request)
    found = parts.find(catalog, model, version)
    every = [found] if version else parts.versions(catalog, model)
    return StatisticsAnswer(model_stats=[configuration.statistics(part) for part in every])


@router.get("/models/{model}", response_model_exclude_none=True)
@router.get("/models/{model}/versions/{version}", response_model_exclude_none=True)
async def metadata(request: Request, model: Model, version: str | None = None) -> ModelMetadata:
    """What a model takes and gives."""
    catalog = catalog_of(request)
    part = parts.find(catalog, model, version)
    return configuration.metadata(part, parts.versions(catalog, model))


@router.get(
    "/models/{model}/ready",
    responses={503: {"model": ModelReady}},
    response_model_exclude_none=True,
)
@router.get(
    "/models/{model}/versions/{version}/ready",
    responses={503: {"model": ModelReady}},
    response_model_exclude_none=True,
)
async def model_ready(
    request: Request, response: Response, model: Model, version: str | None = None
) -> ModelReady:
    """A real inference went through this model's real queue just now."""
    part = parts.find(catalog_of(request), model, version)
    result = await request.app.state.worker.check_model(part.served)
    if result not in FINE:
        response.status_code = 503
        return ModelReady(name=part.name, ready=False, error=result)
    return ModelReady(name=part.name, ready=True)


@router.get("/models/{model}/config")
@router.get("/models/{model}/versions/{version}/config")
async def config(request: Request, model: Model, version: str | None = None) -> dict[str, Any]:
    """A model's configuration as Triton's clients read it."""
    part = parts.find(catalog_of(request), model, version)
    return configuration.config(part, request.app.state.settings)


@router.post("/models/{model}/infer", response_model=InferenceAnswer, **_INFER)
@router.post("/models/{model}/versions/{version}/infer", response_model=InferenceAnswer, **_INFER)
async def infer(request: Request, model: Model, version: str | None = None) -> Response:
    """Tensors in, tensors out: in JSON, as bytes after it, or as files of images.

    A request shares its runs with whatever else waits for the model, by either API.
    """
    return await inference.infer(request, parts.find(catalog_of(request), model, version))
