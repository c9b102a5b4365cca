"""create_app: the FastAPI application, with its models loaded before the first request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import problems, runtime
from service.catalog import Catalog
from service.metrics import Metrics
from service.middleware import Observe
from service.routes import (
    documents,
    health,
    images,
    inference_protocol,
    latents,
    making,
    model_repository,
    models,
    server_settings,
)
from service.routes.route import Verbs
from service.settings import Settings

_ROUTES = (
    images,
    latents,
    making,
    models,
    health,
    inference_protocol,
    model_repository,
    server_settings,
)

log = logging.getLogger(__name__)

_DESCRIPTION = """
Autoencoders for images, behind one API: denoise, reconstruct, encode, decode, interpolate,
sample and classify, one image or thousands, with the quality of every answer beside it. Errors
are `application/problem+json` (RFC 9457) and say what would have worked.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; its models are loaded when it starts, and a bad set-up stops it there."""
    settings = settings or Settings()

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
        responses=problems.RESPONSES,
    )
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.canary = asyncio.Lock()
    for routes in _ROUTES:
        app.include_router(routes.router)
    problems.handle(app)
    app.add_middleware(Verbs, routers=[routes.router for routes in _ROUTES])  # the innermost
    app.add_middleware(Observe, metrics=app.state.metrics)  # the outermost
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Adds the schemas that no route's signature names: the JSON bodies and the problem."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (*documents.SCHEMAS, problems.Problem):
            schemas.setdefault(model.__name__, model.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]
