"""GET /health/live, /health/ready and /metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from service.routes.running import catalog_of

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process answers, and no run has hung for longer than a request may take."""

    live: bool = True


class Ready(BaseModel):
    """Whether a known image just gave its known answer through each model's real queue."""

    ready: bool
    models: dict[str, str] = Field(
        description="NAME/VERSION in the worker that answers: ok, busy, or what is wrong"
    )
    workers: dict[str, str] = Field(description="each worker process: ok, or what is wrong")


@router.get("/health/live", responses={503: {"model": Live}})
async def live(request: Request, response: Response) -> Live:
    """The process is up; 503 when only a new one can help."""
    answer = Live(live=request.app.state.worker.live)
    if not answer.live:
        response.status_code = 503
    return answer


@router.get("/health/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """A real inference went through the real queue of every model of every worker just now."""
    readiness = await request.app.state.worker.readiness()
    if not readiness.ready:
        response.status_code = 503
    return Ready(ready=readiness.ready, models=readiness.models, workers=readiness.workers)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    state = request.app.state
    state.metrics.refresh(catalog_of(request), state.board.restarts)
    # Of several workers each has files to be read, some 5 ms: requests go on meanwhile.
    text = await asyncio.to_thread(state.metrics.text)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
