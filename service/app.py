"""create_app: the FastAPI application, with its models loaded before the first request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from service import runtime
from service.catalog import Catalog
from service.errors import RequestError
from service.metrics import Metrics
from service.middleware import Observe
from service.routes import health, images, latents, models
from service.routes.bodies import ImagesJson
from service.settings import Settings

log = logging.getLogger(__name__)

_DESCRIPTION = """
Autoencoders for images, behind one API: denoise, reconstruct, sample, with the quality of every
answer beside it. Errors are `application/problem+json` (RFC 9457) and say what would have worked.
"""


class Problem(BaseModel):
    """An error, as RFC 9457 has it; some kinds carry further members."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="what went wrong, and what would have worked")
    request_id: str


_STATUSES = {
    400: "malformed",
    404: "no such model or version",
    406: "no answer of the kind asked for",
    409: "the model lacks the ability",
    413: "too large",
    415: "content type not taken",
    422: "not an image, a wrong size, or an option out of range",
    503: "overloaded: see Retry-After",
    504: "deadline exceeded",
}
_SCHEMA = {"schema": {"$ref": "#/components/schemas/Problem"}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {"application/problem+json": _SCHEMA}}
    for status, what in _STATUSES.items()
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; its models are loaded when it starts, and a bad set-up stops it there."""
    settings = settings or Settings()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime.check_installation()
        catalog = app.state.catalog = Catalog(settings)
        catalog.load()
        log.info("serving %s", ", ".join(served.manifest.key for served in catalog))
        yield
        catalog.close()

    app = FastAPIOffline(
        title="autoencoder-service",
        description=_DESCRIPTION,
        version=version("autoencoder-service"),
        lifespan=lifespan,
        responses=_PROBLEMS,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.canary = asyncio.Lock()
    for routes in (images, latents, models, health):
        app.include_router(routes.router)
    app.add_middleware(Observe, metrics=metrics)
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _server_error)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Adds the schemas that only documents refer to: the JSON body and the problem."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (ImagesJson, Problem):
            schemas.setdefault(model.__name__, model.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _problem(
    request: Request,
    status: int,
    title: str,
    detail: str,
    extra: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    members = {"title": title, "status": status, "detail": detail}
    members |= {"request_id": request.state.request_id, **(extra or {})}
    problem = Problem.model_validate(members)
    return Response(
        problem.model_dump_json(), status, headers, media_type="application/problem+json"
    )


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _problem(request, error.status, error.title, error.detail, error.extra, error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
    return _problem(request, 422, "Option out of range", "; ".join(faults) + "; see /docs")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path[:200]}: {error.detail}; see /docs for the routes"
    return _problem(request, error.status_code, title, detail, headers=dict(error.headers or {}))


async def _server_error(request: Request, error: Exception) -> Response:
    log.error("request %s failed", request.state.request_id, exc_info=error)
    return _problem(
        request, 500, "Internal error", "a fault of ours: quote the request id when you report it"
    )
