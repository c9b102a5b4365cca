"""`service.client` where the service is busy, gone, or not the one that was meant."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx
import numpy as np
import pytest

from service.app import create_app
from service.client import (
    AbilityMissing,
    AsyncClient,
    Client,
    DeadlineExceeded,
    Faulty,
    NotFound,
    Overloaded,
    Refused,
    Retries,
    ServiceError,
    TooLarge,
    Unprocessable,
    Unreachable,
)
from service.settings import Settings
from tests.listening import listening
from tests.server import free_port

pytestmark = pytest.mark.anyio

GREY = np.full((12, 12), 7, np.uint8)
BUSY = b'{"title": "Overloaded", "status": 503, "detail": "try again", "request_id": "r1"}'


class Scripted:
    """Answers one status after the other, then hands over to the application."""

    def __init__(self, app, *script: tuple[int, dict[str, str], bytes]) -> None:
        self.app = app
        self.script = list(script)
        self.callers = []

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            self.callers.append((time.monotonic(), scope["client"]))
            if self.script:
                status, headers, body = self.script.pop(0)
                raw = [(k.encode(), v.encode()) for k, v in headers.items()]
                await send({"type": "http.response.start", "status": status, "headers": raw})
                await send({"type": "http.response.body", "body": body})
                return
        await self.app(scope, receive, send)


@pytest.fixture
def scripted(toy_models):
    """A real server of the application that first answers as the script says."""

    @contextmanager
    def start(*script) -> Iterator[tuple[str, Scripted]]:
        app = Scripted(create_app(Settings(models_dir=toy_models)), *script)
        with listening(app) as url:
            yield url, app

    return start


def busy(seconds: str | None = None, status: int = 503):
    headers = {"content-type": "application/problem+json"}
    return status, headers | ({"Retry-After": seconds} if seconds else {}), BUSY


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_said_to_come_back(scripted, status):
    with scripted(busy("1", status)) as (url, app), Client(url) as client:
        assert (client.denoise(GREY)[0] == 7).all()
    first, second = (at for at, _ in app.callers)
    assert 1 <= second - first < 5
    assert len({port for _, port in app.callers}) == 1, "on the connection that was open"


async def test_the_asynchronous_client_does_so_too_and_others_go_on_meanwhile(scripted):
    with scripted(busy("1")) as (url, app):
        async with AsyncClient(url) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.denoise, GREY)
            with anyio.fail_after(10):
                while not app.callers:
                    await anyio.sleep(0.01)
            started = time.monotonic()
            assert await client.live()
            assert time.monotonic() - started < 1
    assert len(app.callers) == 3


def test_without_retry_after_the_pauses_double(scripted):
    policy = Retries(times=3, backoff=0.05)
    with scripted(busy(), busy(), busy()) as (url, app), Client(url, retries=policy) as client:
        client.denoise(GREY)
    at = [at for at, _ in app.callers]
    assert [b - a >= d for a, b, d in zip(at, at[1:], (0.05, 0.1, 0.2), strict=False)] == [True] * 3


def test_retries_end_and_then_the_answer_is_an_exception(scripted):
    with scripted(*[busy("0")] * 9) as (url, app), Client(url, retries=2) as client:
        with pytest.raises(Overloaded, match="try again") as caught:
            client.denoise(GREY)
        assert len(app.callers) == 3
    assert (caught.value.status, caught.value.request_id) == (503, "r1")


def test_a_pause_longer_than_its_patience_fails_at_once_and_says_how_long(scripted):
    started = time.monotonic()
    with scripted(busy("3600")) as (url, app), Client(url) as client:
        with pytest.raises(Overloaded) as caught:
            client.denoise(GREY)
        assert len(app.callers) == 1
    assert caught.value.retry_after == 3600
    assert time.monotonic() - started < 20


def test_what_a_caller_did_wrong_is_not_asked_again(scripted):
    with scripted() as (url, app), Client(url) as client:
        with pytest.raises(Unprocessable):
            client.denoise(b"no picture")
        assert len(app.callers) == 1


def test_an_unready_service_is_an_answer_and_no_exception(scripted):
    unready = (
        503,
        {"content-type": "application/json"},
        b'{"ready": false, "models": {"a/1": "late"}}',
    )
    with scripted(unready) as (url, app), Client(url) as client:
        ready = client.ready()
    assert not ready
    assert ready.models == {"a/1": "late"}
    assert len(app.callers) == 1


def test_each_refusal_has_its_own_exception(toy_models):
    settings = Settings(models_dir=toy_models, max_pixels=500)
    with listening(create_app(settings)) as url, Client(url, headers={"X-Who": "me"}) as client:
        for error, call in {
            NotFound: lambda: client.denoise(GREY, model="toy-identit"),
            AbilityMissing: lambda: client.sample(model="toy-identity"),
            TooLarge: lambda: client.denoise([GREY, np.zeros((23, 23), np.uint8)]),
            Unprocessable: lambda: client.denoise(GREY, simulate="fog:1"),
            Refused: lambda: client.interpolate([GREY, GREY], GREY),
        }.items():
            with pytest.raises(error) as caught:
                call()
            assert type(caught.value) is error
            assert caught.value.detail in str(caught.value)
            assert caught.value.request_id in str(caught.value)
        with pytest.raises(NotFound) as caught:
            client.denoise(GREY, model="toy-identit")
        assert caught.value.extra["models"] == ["toy-identity"]


@pytest.mark.parametrize("name", ["..", "../x", ".", "a/../../metrics", "a?b", "a#b"])
def test_a_name_that_is_a_path_is_a_name_that_there_is_none_of(toy_models, name):
    with (
        listening(create_app(Settings(models_dir=toy_models))) as url,
        Client(url) as client,
        pytest.raises((NotFound, Unprocessable)) as refused,
    ):
        client.model(name)
    assert "GET /:" not in str(refused.value)
    assert name.partition("/")[0] in refused.value.detail or "version" in refused.value.detail


def test_a_late_answer_is_told_from_none(scripted):
    late = (
        504,
        {"content-type": "application/problem+json"},
        b'{"detail": "no answer within 30 s"}',
    )
    says = pytest.raises(DeadlineExceeded, match="within 30 s")
    with scripted(late) as (url, _), Client(url) as client, says:
        client.denoise(GREY)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"content-type": "text/html"}, b"<html>Welcome to nginx</html>"),
        (200, {"content-type": "application/json"}, b'{"hello": "world"}'),
        (302, {"location": "/login"}, b""),
        (500, {"content-type": "text/plain"}, b"oops"),
    ],
)
def test_another_server_at_the_address_is_recognised(scripted, answer):
    with scripted(answer, answer) as (url, _), Client(url) as client:
        with pytest.raises(Faulty):
            client.denoise(GREY)
        with pytest.raises(Faulty):
            client.models()


async def test_no_service_is_unreachable_and_the_message_says_what_to_start():
    url = f"http://127.0.0.1:{free_port()}"
    policy = Retries(times=1, backoff=0.01)
    with Client(url, retries=policy) as client:
        assert client.live() is False
        with pytest.raises(Unreachable, match="autoencoder serve") as caught:
            client.models()
        assert url in str(caught.value)
    async with AsyncClient(url, retries=policy) as client:
        assert await client.live() is False
        with pytest.raises(ServiceError, match="autoencoder serve"):
            await client.denoise(GREY)


@contextmanager
def silent(*, close: bool) -> Iterator[tuple[str, list]]:
    """A server that takes each connection and says nothing, or hangs up."""
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                if close:
                    connection.recv(65536)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", taken
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    for connection in taken:
        connection.close()


def test_a_connection_that_breaks_is_tried_again():
    policy = Retries(times=2, backoff=0.01)
    with silent(close=True) as (url, taken), Client(url, retries=policy) as client:
        with pytest.raises(Unreachable):
            client.models()
        assert len(taken) == 3


def test_an_answer_that_does_not_come_is_given_up_and_not_asked_for_twice():
    with silent(close=False) as (url, taken), Client(url, timeout=0.2) as client:
        with pytest.raises(Unreachable, match="timed out"):
            client.models()
        assert len(taken) == 1, "the work would only pile up"


def test_a_connection_is_used_again(scripted):
    with scripted() as (url, app), Client(url) as client:
        for _ in range(5):
            client.denoise(GREY)
    assert len({port for _, port in app.callers}) == 1


def test_headers_and_a_transport_of_ones_own_are_used():
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer x"
        return httpx.Response(200, json={"live": True})

    headers = {"Authorization": "Bearer x"}
    with Client(headers=headers, transport=httpx.MockTransport(answer)) as client:
        assert client.live()
