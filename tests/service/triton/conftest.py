"""A real server, and Triton's own HTTP clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from service.app import create_app
from service.settings import Settings
from tests import toys
from tests.listening import listening


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    toys.identity(folder)
    toys.identity(folder, "toy-colour", size=None, channels=3)
    toys.variational(folder)
    toys.variational(folder, "toy-classes", classes=("dark", "bright"))
    toys.identity(folder, "toy-loads")
    return folder


@pytest.fixture(scope="module")
def address(models) -> Iterator[str]:
    """A real server in a thread, with the protocols that are served in production."""
    with listening(create_app(Settings(models_dir=models))) as url:
        yield url.removeprefix("http://")


@pytest.fixture
def client(address) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client


@pytest.fixture
async def aio(address, anyio_backend):
    async with triton_aio.InferenceServerClient(address) as client:
        yield client
