"""The verbs' own way to their functions keeps every promise of the ordinary one."""

from __future__ import annotations

import asyncio
import gc

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from service.routes.route import VerbRoute, Verbs
from service.visit import Visit
from tests.listening import listening
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio


async def test_what_is_put_around_the_application_is_around_the_verbs(settings):
    from service.app import create_app

    app = create_app(settings())

    @app.middleware("http")
    async def guard(request, call_next):
        return Response("no", 401)

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post("/denoise", content=GOOD, headers=PNG)
    assert answer.status_code == 401


async def test_a_verb_is_the_same_through_the_ordinary_router(settings):
    """As where the application is mounted under another, and no path is the one looked up."""
    from service.app import create_app

    app = create_app(settings())
    outer = FastAPI()
    outer.mount("/under", app)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(outer)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            made = await client.post("/under/denoise", content=GOOD, headers=PNG)
            refused = await client.post("/under/denoise?simulate=nonsense", content=GOOD)
    assert made.status_code == 200
    assert made.content.startswith(b"\x89PNG")
    assert made.headers["x-request-id"]
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"


async def test_another_method_is_405_and_says_which_would_have_worked(client):
    answer = await client.get("/denoise")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("modle=x", "did you mean model?"),
        ("version=0", "version: Input should be greater than or equal to 1"),
        ("version=", "version: Input should be a valid integer"),
        ("fit=stretch&quality=maybe", "quality: Input should be a valid boolean"),
    ],
)
async def test_options_that_are_wrong_say_what_would_have_worked(client, query, detail):
    for _ in range(2):  # the second time from memory
        answer = await client.post(f"/denoise?{query}", content=GOOD, headers=PNG)
        assert answer.status_code == 422
        assert detail in answer.json()["detail"]


async def test_of_an_option_that_is_given_twice_the_last_counts(client):
    url = "/denoise?model=none&model=toy-vae"
    answer = await client.post(url, content=GOOD, headers=PNG)
    assert answer.headers["model-name"] == "toy-vae"


def test_every_verb_is_found_without_a_search():
    from service.routes import images, latents, making

    routers = [images.router, latents.router, making.router]
    found = Verbs(FastAPI(), routers=[*routers, APIRouter()])._routes
    assert {path for _, path in found} >= {"/denoise", "/reconstruct", "/encode", "/sample"}
    assert all(isinstance(r, VerbRoute) for router in routers for r in router.routes)


async def test_an_answer_has_the_same_headers_on_its_connection_as_through_layers_of_others(
    settings, monkeypatch
):
    from service.app import create_app
    from service.middleware import Observe

    def names(answer: httpx.Response) -> list[str]:
        of_the_server = ("date", "server")
        return [name for name, _ in answer.headers.multi_items() if name not in of_the_server]

    app = create_app(settings())
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            expected = await client.post("/denoise", content=GOOD, headers=PNG)
    app = create_app(settings())
    in_one = []
    answer = Observe.answer
    monkeypatch.setattr(Observe, "answer", lambda *given: in_one.append(given) or answer(*given))
    with listening(app) as url:
        made = await asyncio.to_thread(httpx.post, f"{url}/denoise", content=GOOD, headers=PNG)
    assert in_one, "nothing is around the application"
    assert (made.status_code, made.content) == (200, expected.content)
    assert names(made) == names(expected)


async def test_a_request_leaves_nothing_for_the_garbage_collector(settings):
    from service.app import create_app

    with listening(create_app(settings())) as url, httpx.Client() as client:
        gc.disable()
        try:
            for _ in range(9):
                path = f"{url}/denoise"
                made = await asyncio.to_thread(client.post, path, content=GOOD, headers=PNG)
                assert made.status_code == 200
            left = sum(type(thing) is Visit for thing in gc.get_objects())
        finally:
            gc.enable()
    assert left <= 2, "but what a connection knows of its last request"
