"""The inference protocol: however it is asked, the answer is the same, from queues that are shared."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import struct
import zlib

import numpy as np
import pytest

from service import images
from service.errors import Overloaded
from service.routes.inference_protocol import EXAMPLE
from tests import toys
from tests.conftest import running
from tests.service.inference_requests import (
    DECODE,
    GREY,
    HEADER,
    INFER,
    RAW,
    binary,
    body,
    files,
    tensor,
)
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", ""])
async def test_valid_bodies_are_answered_however_they_are_packed(zoo, encoding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)
    nested = body(tensor(data=GREY.tolist()))
    for request in ({"content": body()}, {"content": nested}, binary(RAW)):
        answer = await zoo.post(
            INFER,
            content=pack(request["content"]),
            headers={**request.get("headers", {}), "Content-Encoding": encoding},
        )
        assert answer.json()["outputs"][0]["data"] == [7] * 144


async def test_what_the_kserve_client_sends_is_answered(zoo):
    """Its bytes as kserve 0.21 sends them; the client itself was tried by hand: docs/decisions.md."""
    more = {"id": "0", "model_name": "toy-identity", "parameters": {"binary_data_output": True}}
    head = body(tensor(data=..., parameters={"binary_data_size": 144}), **more)
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}  # fmt: skip
    answer = await zoo.post(INFER, content=head + RAW, headers=headers)
    length = int(answer.headers[HEADER])
    assert json.loads(answer.content[:length])["id"] == "0"
    assert answer.content[length:] == RAW
    plain = await zoo.post(INFER, json=json.loads(body(**more | {"parameters": {}})))
    assert plain.json()["outputs"][0]["data"] == [7] * 144


async def test_floats_at_any_address_are_read(zoo):
    """The JSON in front decides where in memory the tensor starts."""
    raw = struct.pack("<2f", 20, -1)
    for spaces in range(4):
        sent = {"name": "latents", "datatype": "FP32", "shape": [1, 2], "data": ...}
        head = body(tensor(**sent, parameters={"binary_data_size": 8})) + b" " * spaces
        answer = await zoo.post(DECODE, content=head + raw, headers={HEADER: str(len(head))})
        assert set(answer.json()["outputs"][0]["data"]) == {120}


async def test_the_answer_does_not_depend_on_how_the_image_came(zoo):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (12, 12, 1), np.uint8)
    png = images.encode_png(grey)
    text = base64.b64encode(png).decode()
    file = tensor(datatype="BYTES", shape=[1], data=[text])
    uri = tensor(datatype="BYTES", shape=[1], data=[f"data:image/png;base64,{text}"])
    requests = [
        {"content": body(tensor(data=grey.ravel().tolist()))},
        binary(grey.tobytes()),
        {"content": body(file, parameters={"datatype": "UINT8"})},
        {"content": body(uri, outputs=[{"name": "images", "parameters": {"datatype": "UINT8"}}])},
        files(png) | {"params": {}},
    ]
    answers = [(await zoo.post(INFER, **request)).json()["outputs"][0] for request in requests]
    assert [answer["data"] for answer in answers[:4]] == [grey.ravel().tolist()] * 4
    assert answers[4]["datatype"] == "BYTES"
    rest = (await zoo.post("/reconstruct?model=toy-identity", content=png, headers=PNG)).content
    assert base64.b64decode(answers[4]["data"][0]) == rest


async def test_colour_files_are_made_grey_where_the_model_is(zoo):
    colour = images.encode_png(np.full((12, 12, 3), (90, 90, 90), np.uint8))
    answer = (await zoo.post(INFER, **files(colour))).json()["outputs"][0]
    assert images.decode(base64.b64decode(answer["data"][0])).shape == (12, 12, 1)


async def test_overload_and_a_missed_deadline_are_503_with_retry_after(zoo, monkeypatch):
    served = zoo.app.state.catalog.get("toy-identity")

    async def full(*_, **__):
        raise Overloaded("full", headers={"Retry-After": "3"})

    async def stuck(*_, **__):
        await asyncio.sleep(60)

    monkeypatch.setattr(served, "run", full)
    overloaded = await zoo.post(INFER, content=body())
    monkeypatch.setattr(served, "run", stuck)
    late = await zoo.post(INFER, content=body(parameters={"timeout": 50_000}))
    for answer, seconds in ((overloaded, 3), (late, 1)):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == str(seconds)
        assert answer.json().keys() == {"error"}
    assert "0.05 s" in late.json()["error"]


async def test_a_fault_of_ours_is_in_the_protocols_form_too(zoo, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("the secret of line 42")

    monkeypatch.setattr(zoo.app.state.catalog.get("toy-identity"), "run", broken)
    answer = await zoo.post(INFER, content=body())
    assert answer.status_code == 500
    assert answer.json().keys() == {"error"}
    assert "secret" not in answer.text


async def test_a_model_that_does_not_answer_as_known_is_not_ready(zoo, monkeypatch):
    async def stuck(*_, **__):
        await asyncio.sleep(60)

    await zoo.get("/v2/health/ready")
    await asyncio.sleep(0.3)  # an outcome is good for so long
    monkeypatch.setattr(zoo.app.state.catalog.get("toy-identity"), "run", stuck)
    model = await zoo.get("/v2/models/toy-identity.encoder/ready")
    server = await zoo.get("/v2/health/ready")
    assert (model.status_code, server.status_code) == (503, 503)
    assert model.json()["ready"] is server.json()["ready"] is False
    assert "toy-identity/1: late" in server.json()["error"]
    assert (await zoo.get("/v2/models/toy-vae/ready")).json() == {"name": "toy-vae", "ready": True}
    assert (await zoo.get("/v2/health/live")).json() == {"live": True}


async def test_runs_are_shared_with_the_rest_api(zoo):
    async def seen() -> dict:
        return (await zoo.get("/v2/models/toy-identity/stats")).json()["model_stats"][0]

    before = await seen()
    both = [zoo.post(INFER, content=body()) for _ in range(20)]
    both += [
        zoo.post("/reconstruct?model=toy-identity", content=GOOD, headers=PNG) for _ in range(20)
    ]
    assert {answer.status_code for answer in await asyncio.gather(*both)} == {200}
    after = await seen()
    assert after["inference_count"] - before["inference_count"] == 40
    assert after["execution_count"] - before["execution_count"] < 40
    largest = after["batch_stats"][-1]
    assert largest["batch_size"] > 1
    assert largest["compute_infer"]["ns"] > 0


async def test_every_route_is_documented_under_one_tag_with_the_protocols_errors(zoo):
    document = (await zoo.get("/openapi.json")).json()
    routes = {path: item for path, item in document["paths"].items() if path.startswith("/v2")}
    assert len(routes) >= 20
    for item in routes.values():
        for operation in item.values():
            assert operation["tags"] == ["inference protocol"]
            assert operation["summary"]
            for status, response in operation["responses"].items():
                assert "application/problem+json" not in response.get("content", {}), status


async def test_the_documented_example_is_answered(settings, tmp_path):
    toys.identity(tmp_path, "digits", size=28)
    async with running(settings(models_dir=tmp_path)) as client:
        answer = await client.post("/v2/models/digits/infer", json=EXAMPLE)
        (digit,) = answer.json()["outputs"][0]["data"]
        sent = EXAMPLE["inputs"][0]["data"][0]
        np.testing.assert_array_equal(
            *(images.decode(base64.b64decode(text)) for text in (digit, sent))
        )
