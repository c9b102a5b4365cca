"""What every test may use: toy models, and the application in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests import toys


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory) -> Path:
    """A grey identity of 12x12, a colour one of any size, and a variational toy."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    toys.identity(models, "toy-colour", size=None, channels=3)
    toys.variational(models)
    return models


@pytest.fixture(scope="session")
def zoo_models(tmp_path_factory) -> Path:
    """The toys of `toy_models`, and one of two latents with a mixture and two classes."""
    models = tmp_path_factory.mktemp("zoo")
    toys.identity(models)
    toys.identity(models, "toy-colour", size=None, channels=3)
    toys.variational(models)
    toys.variational(
        models,
        "toy-mixture",
        psnr=5.0,
        prior=False,
        mixture=True,
        classes=("dark", "bright"),
        mapped=True,
    )
    return models


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which runs in this process with its lifespan."""
    from service.app import create_app

    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.app = app
            yield client


@pytest.fixture
def settings(toy_models) -> Callable[..., Settings]:
    return lambda **changes: Settings(**{"models_dir": toy_models, **changes})


@pytest.fixture
async def client(settings, anyio_backend) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings()) as client:
        yield client


@pytest.fixture
async def zoo(settings, zoo_models, anyio_backend) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that can do everything."""
    async with running(settings(models_dir=zoo_models)) as client:
        yield client
