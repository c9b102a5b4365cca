"""A real server, and Triton's own HTTP clients of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import uvicorn

from service.app import create_app
from service.settings import Settings
from tests import toys


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
    app = create_app(Settings(models_dir=models))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    yield f"{host}:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(address) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client


@pytest.fixture
async def aio(address, anyio_backend):
    async with triton_aio.InferenceServerClient(address) as client:
        yield client
