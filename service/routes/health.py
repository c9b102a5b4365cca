"""GET /health/live, /health/ready and /metrics."""

from __future__ import annotations

import asyncio
import math
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from service.routes.running import catalog_of
from service.served import Served

_SCORED: tuple[Literal["denoise", "reconstruct"], ...] = ("denoise", "reconstruct")

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Ready(BaseModel):
    """Whether a known image just gave its known answer through each model's real queue."""

    ready: bool
    models: dict[str, str] = Field(description="NAME/VERSION: ok, wrong, late or the error")


@router.get("/health/live")
async def live() -> Live:
    """The process is up."""
    return Live()


@router.get("/health/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """A real inference went through the real queue of every model just now."""
    served = list(catalog_of(request))
    async with request.app.state.canary:  # one canary at a time, however many ask
        results = await asyncio.gather(*(canary(request, model) for model in served))
    answer = Ready(
        ready=all(result == "ok" for result in results),
        models={m.manifest.key: result for m, result in zip(served, results, strict=True)},
    )
    if not answer.ready:
        response.status_code = 503
    return answer


async def canary(request: Request, served: Served) -> str:
    """`ok` if the model's known image just gave its known answer in time, else what happened."""
    state, card = request.app.state, served.manifest
    try:
        async with asyncio.timeout(state.settings.ready_timeout):
            result = "ok" if await served.answers_as_known() else "wrong"
    except TimeoutError:
        result = f"late: no answer within {state.settings.ready_timeout:g} s"
    except Exception as error:  # readiness reports a fault, whatever it is
        result = f"failed: {type(error).__name__}"
    state.metrics.ready.labels(card.name, card.version).set(result == "ok")
    return result


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    state = request.app.state
    for served in catalog_of(request):
        card = served.manifest
        state.metrics.waiting.labels(card.name, card.version).set(served.backlog.images)
        for verb in _SCORED:
            if math.isfinite(psnr := card.served_psnr(verb)):
                state.metrics.test_psnr.labels(card.name, card.version, verb).set(psnr)
    return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
