"""The service on a Ray cluster: the same application in every replica, its own batcher inside.

    RAY_USAGE_STATS_ENABLED=0 serve run deploy/ray.yaml

Ray routes, restarts and scales; each replica is the whole service, models and all. Nothing of
the service knows of it: a replica is what a worker process is on one machine.
"""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from service.app import create_app
from service.settings import Settings


@serve.deployment(name="autoencoder")
@serve.ingress()
class Replica:
    """One process with all models; `ray.yaml` says how many there are and what each may use."""

    def __init__(self, settings: dict[str, Any]) -> None:
        # Over AUTOENCODER_* of the node, as flags are over the environment elsewhere.
        self._app = create_app(Settings(**settings))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._app

    async def check_health(self) -> None:
        """A known image through each model's real queue; Ray replaces the replica that fails.

        Raises:
            HTTPStatusError: a model did not give its known answer.
        """
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            (await client.get("/health/ready")).raise_for_status()


def build(settings: dict[str, Any]) -> Application:
    """The application of `ray.yaml`; its `args` are settings, as in `device: cuda`."""
    return Replica.bind(settings)
