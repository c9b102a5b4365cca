"""Both clients, on a server of known toys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

import anyio
import pytest

from service.app import create_app
from service.client import AsyncClient, Client
from service.settings import Settings
from tests.listening import listening
from tests.service.client.pictures import Call


@pytest.fixture(scope="module")
def url(zoo_models) -> Iterator[str]:
    # Limits of the server's that are lower than the client's: a long list must still go through.
    settings = Settings(models_dir=zoo_models, max_images=4, max_pixels=4 * 600)
    with listening(create_app(settings)) as url:
        yield url


@pytest.fixture(params=["sync", "async"])
async def call(request, url, anyio_backend) -> AsyncIterator[Call]:
    """Calls a verb of either client by its name."""
    if request.param == "sync":
        with Client(url) as client:
            yield lambda verb, *args, **options: anyio.to_thread.run_sync(
                partial(getattr(client, verb), *args, **options)
            )
    else:
        async with AsyncClient(url) as client:
            yield lambda verb, *args, **options: getattr(client, verb)(*args, **options)
