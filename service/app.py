"""create_app: the FastAPI application, with its models loaded before the first request."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import State
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service import problems, runtime, tracing
from service.board import Board
from service.catalog import Catalog
from service.cycles import Application, Cycle
from service.gate import Gate
from service.heads import Heads
from service.lingering import Lingering
from service.metrics import Metrics
from service.middleware import PROBES, Observe
from service.refusals import Refusals
from service.routes import (
    documents,
    health,
    images,
    inference_protocol,
    latents,
    making,
    model_repository,
    models,
    page,
    server_settings,
)
from service.routes.route import Verbs
from service.routes.watching import Watch
from service.settings import Settings
from service.worker import Worker

_ROUTES = (
    images,
    latents,
    making,
    models,
    health,
    inference_protocol,
    model_repository,
    server_settings,
    page,
)

log = logging.getLogger(__name__)

_DESCRIPTION = """
Autoencoders for images, behind one API: denoise, reconstruct, encode, decode, interpolate,
sample and classify, one image or thousands, with the quality of every answer beside it. Errors
are `application/problem+json` (RFC 9457) and say what would have worked.
"""


def loaded_app(settings: Settings, board: Board, slot: int) -> FastAPI:
    """The application of one worker, with its models loaded.

    Raises:
        AutoencoderError: a bad set-up; the server would print a traceback of what the lifespan
            raises, above the one line that says what is wrong.
    """
    runtime.check_installation()
    catalog = Catalog(settings)
    if board.wanted:  # what was unloaded stays so in a worker that takes another's place
        catalog.unloaded = board.wanted.read().unloaded
    catalog.load()
    return create_app(settings, catalog, board, slot)


def create_app(
    settings: Settings | None = None,
    catalog: Catalog | None = None,
    board: Board | None = None,
    slot: int = 0,
) -> FastAPI:
    """The application; without a loaded catalog it loads its own when it starts.

    With a `board`, it is the worker in that `slot` of it, and answers for all when it is asked
    whether the service is ready.

    Raises:
        KeysError, TelemetryError: a setting asks for what is not there.
    """
    settings = settings or Settings()
    traces = tracing.provider(settings.otlp_endpoint) if settings.otlp_endpoint else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        models = catalog or Catalog(settings)
        if catalog is None:
            runtime.check_installation()
            models.load()
        log.info("serving %s", ", ".join(served.manifest.key for served in models))
        models.on_gone = app.state.metrics.forget
        app.state.catalog = models
        app.state.worker = Worker(models, app.state.metrics, settings, app.state.board, slot)
        app.state.worker.start()
        app.state.watch = Watch()
        # What each connection needs to know.
        yield {
            "settings": settings,
            "refusals": app.state.refusals,
            "entrance": partial(_entrance, app, traced=traces is not None),
            "lingering": Lingering(settings.linger_microseconds / 1e6),
            "heads": Heads(),
        }
        await app.state.worker.stop()
        models.close()
        if traces:
            tracing.close(traces)

    app = FastAPIOffline(
        title="autoencoder-service",
        description=_DESCRIPTION,
        version=version("autoencoder-service"),
        lifespan=lifespan,
        telemetry=tracing.configuration(traces, untraced=PROBES) if traces else tracing.OFF,
        responses=problems.RESPONSES,
    )
    app.state = _State()
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.refusals = Refusals(app.state.metrics.refused)
    app.state.board = board or Board()
    for routes in _ROUTES:
        app.include_router(routes.router)
    problems.handle(app)
    _put_in_front(
        app,
        lambda inner: Observe(
            Verbs(inner, routers=[routes.router for routes in _ROUTES]),
            gate=Gate(settings),
            metrics=app.state.metrics,
            traces=traces,
            app=app,
        ),
    )
    if settings.cors_origins:  # outside even of that: a preflight has no key
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    _describe(app)
    return app


class _State(State):
    """What all requests share. Starlette's looks for each attribute in vain before it finds it."""

    def __setattr__(self, key: str, value: object) -> None:
        object.__setattr__(self, key, value)


def _put_in_front(app: FastAPI, front: Callable[[ASGIApp], ASGIApp]) -> None:
    """Puts layers of ours before FastAPI's own, which cost a verb more than a small model's run.

    What is put around the application by `add_middleware` is around all, as ever.
    """
    build = app.build_middleware_stack

    def stack() -> ASGIApp:
        around, app.user_middleware = app.user_middleware, []
        layers = front(build())
        for layer, args, kwargs in reversed(around):
            layers = layer(layers, *args, **kwargs)
        return layers

    app.build_middleware_stack = stack  # type: ignore[method-assign]


def _entrance(app: FastAPI, served: ASGIApp, *, traced: bool) -> Application:
    """What answers a request to the application that is `served`, which no proxy has passed on.

    That is `app` itself, or what somebody has put around it. FastAPI and Starlette ask first
    whether to trace, and whether they have layers yet: what is not traced goes to its layers. And
    where ours is the outermost of these, it gives a whole answer to the connection itself.
    """
    if isinstance(served, ProxyHeadersMiddleware):
        served = served.app  # type: ignore[assignment]  # uvicorn has types of its own
    if traced or served is not app:
        return _in_order(served)
    layers = app.middleware_stack = app.middleware_stack or app.build_middleware_stack()
    if isinstance(layers, Observe):
        return layers.answer

    def enter(cycle: Cycle) -> Awaitable[None]:
        cycle.scope["app"] = app  # type: ignore[typeddict-unknown-key]
        return layers(cycle.scope, cycle.receive, cycle.send)  # type: ignore[arg-type]

    return enter


def _in_order(app: ASGIApp) -> Application:
    """The application as ASGI has it: it receives, and sends its answer in order."""
    return lambda cycle: app(cycle.scope, cycle.receive, cycle.send)  # type: ignore[arg-type]


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
