"""multipart/mixed: how far the work is, and then the answer; and the client that reads it."""

from __future__ import annotations

import io
import json
import socket
import time

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service import images, npy
from service.app import create_app
from service.client import AsyncClient, Client
from service.client.errors import ServiceError, Unreachable
from service.client.parts import Parts
from tests import toys
from tests.conftest import running
from tests.listening import listening
from tests.service.test_departures import eventually

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(3)
LARGE = RNG.integers(0, 200, (300, 280, 3), dtype=np.uint8)
WAITING = 'autoencoder_waiting_images{model="toy-photo",version="1"}'
TOLD = {"Content-Type": "image/png", "Accept": "multipart/mixed"}


@pytest.fixture(scope="module")
def photo_models(tmp_path_factory):
    models = tmp_path_factory.mktemp("photo")
    known = tuple(-4 + place / 25 for place in range(101))  # a flat 50 has -2
    toys.identity(models, "toy-photo", size=None, channels=3, add=50, kurtoses=known)
    return models


@pytest.fixture
async def photo(settings, photo_models, anyio_backend):
    async with running(settings(models_dir=photo_models, tile_pixels=2**14)) as client:
        yield client


def png(image: np.ndarray) -> bytes:
    return images.encode_png(image)


def parts_of(answer: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """The parts as RFC 2046 has them, by another reader than the client's."""
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/mixed"
    before, *parts, after = answer.content.split(f"--{boundary}".encode())
    assert before == b""
    assert after == b"--\r\n"
    read = []
    for part in parts:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        read.append(({name.lower(): text for name, text in headers.items()}, body[:-2]))
        assert int(read[-1][0]["content-length"]) == len(read[-1][1])
    return read


async def test_progress_comes_first_and_the_picture_last(photo):
    answer = await photo.post("/denoise", content=png(LARGE), headers=TOLD)
    *progress, (headers, body) = parts_of(answer)
    told = [json.loads(text) for _, text in progress]
    assert told[-1]["done"] == told[-1]["total"] > 20
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)
    assert headers["content-type"] == "image/png"
    assert headers["model-name"] == "toy-photo"
    assert float(headers["noise-std"]) == pytest.approx(50)
    assert "infer;dur=" in headers["server-timing"]
    np.testing.assert_array_equal(images.decode(body), LARGE + 50)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("multipart/mixed, image/webp", "image/webp"),
        ("application/json;q=0.9,Multipart/Mixed;q=0.1", "application/json"),
        ("multipart/mixed, application/x-npy", npy.MEDIA_TYPE),
    ],
)
async def test_what_else_is_accepted_is_the_kind_of_the_last_part(photo, accept, kind):
    headers = TOLD | {"Accept": accept}
    for verb in ("denoise", "reconstruct"):
        answer = await photo.post(f"/{verb}", content=png(LARGE), headers=headers)
        assert parts_of(answer)[-1][0]["content-type"] == kind


async def test_small_images_count_as_steps_too(photo):
    batch = RNG.integers(0, 200, (9, 8, 8, 3), dtype=np.uint8)
    headers = {"Content-Type": npy.MEDIA_TYPE, "Accept": "multipart/mixed"}
    answer = await photo.post("/denoise", content=npy.write(batch), headers=headers)
    *progress, (_, body) = parts_of(answer)
    assert json.loads(progress[-1][1]) == {"done": 9, "total": 9}
    np.testing.assert_array_equal(npy.read(body), batch + 50)


async def test_what_fails_at_once_is_a_problem_as_ever(photo):
    answer = await photo.post("/denoise", content=b"no image", headers=TOLD)
    assert answer.status_code == 422
    answer = await photo.post("/encode?model=x", content=png(LARGE), headers=TOLD)
    assert answer.status_code == 404
    headers = TOLD | {"X-Request-Timeout": "0.001"}
    answer = await photo.post("/denoise", content=png(LARGE), headers=headers)
    assert answer.status_code == 504


async def test_what_fails_later_is_a_problem_in_the_last_part(photo, monkeypatch):
    queue = photo.app.state.catalog.get("toy-photo")._large.queue
    function = queue._function

    def slow(batch):
        time.sleep(0.1)
        return function(batch)

    monkeypatch.setattr(queue, "_function", slow)
    headers = TOLD | {"X-Request-Timeout": "0.8"}
    answer = await photo.post("/denoise", content=png(LARGE), headers=headers)
    assert answer.status_code == 200
    *progress, (headers, body) = parts_of(answer)
    assert progress
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == 504

    def broken(_):
        time.sleep(0.6)
        raise ValueError("broken")

    monkeypatch.setattr(queue, "_function", broken)
    answer = await photo.post("/denoise", content=png(LARGE), headers=TOLD)
    assert json.loads(parts_of(answer)[-1][1])["status"] == 500
    assert "broken" not in answer.text


async def test_routes_that_do_not_tell_do_not_promise_to(photo):
    answer = await photo.post("/encode", content=png(LARGE), headers=TOLD)
    assert answer.status_code == 406


@pytest.fixture(scope="module")
def slow_url(photo_models):
    """A service whose tiles take 20 ms each, and its counters."""
    from service.settings import Settings

    app = create_app(Settings(models_dir=photo_models, tile_pixels=2**14))
    with listening(app) as url:
        queue = app.state.catalog.get("toy-photo")._large.queue
        function = queue._function

        def slow(batch):
            time.sleep(0.02)
            return function(batch)

        queue._function = slow
        yield url


def test_the_client_tells_how_far_it_is(slow_url):
    told: list[float] = []
    with Client(slow_url) as client:
        made = client.denoise([LARGE, LARGE[:, :270]], progress=told.append)
    np.testing.assert_array_equal(made[0], LARGE + 50)
    np.testing.assert_array_equal(made[1], LARGE[:, :270] + 50)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len({round(share, 2) for share in told}) > 10
    assert made.noise_std == (pytest.approx(50), pytest.approx(50))
    assert made.noise_anomaly_percentile == (pytest.approx(50), pytest.approx(50))


async def test_so_does_the_asynchronous_one_and_problems_are_exceptions(slow_url):
    told: list[float] = []
    async with AsyncClient(slow_url) as client:
        made = await client.denoise(LARGE, progress=told.append)
        np.testing.assert_array_equal(made[0], LARGE + 50)
        assert made.timing_ms.infer > 100
        assert made.noise_anomaly_percentile == (pytest.approx(50),)
        assert told == sorted(told)
        assert told[-1] == 1
        assert any(0 < share < 1 for share in told)
        with pytest.raises(ServiceError, match="no model"):
            await client.denoise(LARGE, model="nobody", progress=told.append)
    async with AsyncClient(slow_url, headers={"X-Request-Timeout": "0.7"}) as client:
        with pytest.raises(ServiceError) as error:
            await client.denoise([LARGE] * 2, progress=told.append)
        assert error.value.status == 504


def test_large_pictures_are_watched_so_that_a_short_timeout_is_of_silence(slow_url):
    many = RNG.integers(0, 200, (2000, 300, 3), dtype=np.uint8)
    started = time.monotonic()
    with Client(slow_url, timeout=1.5, retries=0) as client:
        np.testing.assert_array_equal(client.denoise(many)[0], many + 50)
    assert time.monotonic() - started > 1.5


def test_tiles_of_a_caller_that_left_are_dropped_and_counted(slow_url):
    body = png(RNG.integers(0, 200, (3000, 300, 3), dtype=np.uint8))
    host, port = slow_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /denoise HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n"
            b"Accept: multipart/mixed\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert b'"done"' in connection.recv(10_000) + connection.recv(10_000)
        eventually(slow_url, WAITING, 1)
    dropped = 'autoencoder_dropped_images{model="toy-photo",reason="departed",version="1"}'
    time.sleep(0.3)
    text = httpx.get(f"{slow_url}/metrics").text
    (line,) = (line for line in text.splitlines() if line.startswith(dropped))
    assert float(line.split()[-1]) > 50
    eventually(slow_url, WAITING, 0)


def test_small_pictures_do_not_wait_for_a_large_one(slow_url):
    small = LARGE[:20, :20]
    body = png(RNG.integers(0, 200, (3000, 300, 3), dtype=np.uint8))
    host, port = slow_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection, Client(slow_url) as client:
        connection.sendall(
            b"POST /denoise HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        time.sleep(0.2)
        queued = [client.denoise(small, model="toy-photo").timing_ms.queue for _ in range(20)]
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still under way
            connection.recv(1)
    assert sorted(queued)[10] < 10, "milliseconds, where a tile takes 20"


BOUNDARY = b"x" * 32


def stream(*parts: tuple[str, bytes]) -> bytes:
    whole = b""
    for head, body in parts:
        whole += b"--" + BOUNDARY + b"\r\n" + head.encode()
        whole += b"Content-Length: %d\r\n\r\n" % len(body) + body + b"\r\n"
    return whole + b"--" + BOUNDARY + b"--\r\n"


@given(st.lists(st.integers(1, 60), max_size=30), st.binary(max_size=100))
def test_parts_are_read_wherever_they_are_cut(cuts, body):
    told: list[float] = []
    request = httpx.Request("POST", "http://here/denoise")
    parts = Parts(httpx.Response(200, request=request), told.append)
    step = "Content-Type: application/json\r\n"
    data = stream(
        (step, b'{"done": 0, "total": 2}'),
        (step, b'{"done": 1, "total": 2}'),
        ("Content-Type: image/png\r\nModel-Name: m\r\n", body),
    )
    for cut in (*cuts, len(data)):
        parts.feed(data[:cut])
        data = data[cut:]
    answer = parts.response()
    assert answer.content == body
    assert answer.headers["Model-Name"] == "m"
    assert told == [0, 0.5]


@pytest.mark.parametrize(
    "data",
    [
        stream(("Content-Type: image/png\r\n", b"abc"))[:40],
        b"--x\r\nContent-Type: image/png\r\n\r\nno length",
        b"--x\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]",
        stream(("Content-Type: application/json\r\n", b'{"done": 1, "total": 0}')),
    ],
)
def test_parts_that_are_none_are_an_answer_that_broke_off(data):
    transport = httpx.MockTransport(
        lambda _: httpx.Response(
            200, headers={"Content-Type": "multipart/mixed; boundary=x"}, content=data
        )
    )
    with (
        Client("http://here", transport=transport, retries=0) as client,
        pytest.raises(Unreachable),
    ):
        client.denoise(LARGE, progress=lambda _: None)


def test_a_jpeg_of_a_file_can_be_watched_too(slow_url, tmp_path):
    path = tmp_path / "picture.jpg"
    Image.fromarray(LARGE).save(path)
    told: list[float] = []
    with Client(slow_url) as client:
        made = client.denoise(path, progress=told.append)
    expected = np.asarray(Image.open(io.BytesIO(path.read_bytes()))).astype(int) + 50
    np.testing.assert_array_equal(made[0], np.minimum(expected, 255))
    assert told


def test_what_the_caller_itself_raises_is_passed_on(slow_url):
    def fails(_: float) -> None:
        raise ValueError("of my own")

    with Client(slow_url) as client, pytest.raises(ValueError, match="of my own"):
        client.denoise(LARGE, progress=fails)
