"""One real server with small limits: each fault must leave it as it was."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests import toys
from tests.faults.wire import good, wire
from tests.server import Server, serving

LIMITS = {
    "head_timeout": 1,
    "body_timeout": 3,
    "write_timeout": 1,
    "max_body_bytes": 2**20,
    "max_pixels": 100_000,
    "max_images": 50,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One real server for all: each fault must leave it as it was."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    toys.identity(models, "toy-colour", size=None, channels=3)
    with serving(models, **LIMITS) as server:
        yield server


@pytest.fixture(autouse=True)
def goes_on(server: Server):
    """After every fault here the server still answers rightly, and logged no fault of its own."""
    yield
    with wire(server.url) as connection:
        answer = connection.send(good(9)).answer()
    assert answer.status == 200, answer
    assert np.load(io.BytesIO(answer.body)).ravel()[0] == 9
    assert "Traceback" not in server.log, server.log
