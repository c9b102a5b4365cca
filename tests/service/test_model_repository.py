"""Load and unload: swapped at once, never half done, and nobody's request is lost."""

from __future__ import annotations

import asyncio
import gc
import shutil
import weakref

import numpy as np
import pytest

from tests import toys
from tests.conftest import running
from tests.service.inference_requests import INFER, body

pytestmark = pytest.mark.anyio

LOAD = "/v2/repository/models/toy-identity/load"
UNLOAD = "/v2/repository/models/toy-identity/unload"


@pytest.fixture
async def own(settings, tmp_path, anyio_backend):
    """A client of a service whose models folder is the test's own."""
    toys.identity(tmp_path)
    toys.variational(tmp_path)
    async with running(settings(models_dir=tmp_path, reload_seconds=0)) as client:
        client.models = tmp_path
        yield client


async def brightness(client) -> set[int]:
    answer = await client.post(INFER, content=body())
    assert answer.status_code == 200, answer.text
    return set(answer.json()["outputs"][0]["data"])


async def states(client) -> dict[str, tuple[str, str]]:
    index = (await client.post("/v2/repository/index")).json()
    return {f"{e['name']}/{e['version']}": (e["state"], e["reason"]) for e in index}


async def test_a_version_that_was_published_meanwhile_is_served_after_a_load(own):
    assert await brightness(own) == {7}
    toys.identity(own.models, version=2, add=10)
    assert (await states(own))["toy-identity/2"] == ("UNAVAILABLE", "not seen yet")
    assert await brightness(own) == {7}
    loaded = await own.post(LOAD, content=b"{}")
    assert (loaded.status_code, loaded.content) == (200, b"")
    assert await brightness(own) == {17}
    assert (await own.get("/v2/models/toy-identity")).json()["versions"] == ["1", "2"]
    first = await own.post("/v2/models/toy-identity/versions/1/infer", content=body())
    assert first.json()["model_version"] == "1"
    assert (await own.get("/models/toy-identity")).json()["versions"] == [1, 2]


async def test_a_version_whose_folder_is_gone_is_gone_after_a_load(own):
    toys.identity(own.models, version=2, add=10)
    await own.post(LOAD)
    shutil.rmtree(own.models / "toy-identity" / "2")
    assert await brightness(own) == {17}, "until it is asked for"
    assert (await own.post(LOAD)).status_code == 200
    assert await brightness(own) == {7}


async def test_a_load_that_fails_says_why_and_what_served_serves_on(own):
    (own.models / "toy-identity" / "1" / "decoder.onnx").write_bytes(b"")
    toys.identity(own.models, version=2, add=10)
    failed = await own.post(LOAD)
    assert failed.status_code == 400
    assert "toy-identity/1 decoder.onnx has changed" in failed.json()["error"]
    seen = await states(own)
    assert seen["toy-identity/1"][0] == "READY"
    assert "has changed" in seen["toy-identity/1"][1]
    old = await own.post("/v2/models/toy-identity/versions/1/infer", content=body())
    assert set(old.json()["outputs"][0]["data"]) == {7}
    assert await brightness(own) == {17}, "the version that holds is served all the same"


async def test_an_unloaded_model_that_cannot_be_loaded_stays_away_with_its_reason(own):
    await own.post(UNLOAD)
    (own.models / "toy-identity" / "1" / "decoder.onnx").write_bytes(b"")
    assert (await own.post(LOAD)).status_code == 400
    assert "has changed" in (await states(own))["toy-identity/1"][1]
    unknown = await own.post(INFER, content=body())
    assert unknown.json() == {"error": "Request for unknown model: 'toy-identity' is not found"}


async def test_an_application_that_has_ended_holds_no_model(settings, toy_models):
    async with running(settings()) as client:
        app = client.app
        served = weakref.ref(app.state.catalog.get("toy-identity"))
        await client.get("/health/ready")
    gc.collect()
    assert app.state.catalog is not None
    assert served() is None


async def test_an_unloaded_model_is_gone_from_both_apis_and_from_memory(own):
    await own.get("/health/ready")
    assert 'autoencoder_test_psnr_db{model="toy-identity"' in (await own.get("/metrics")).text
    served = weakref.ref(own.app.state.catalog.get("toy-identity"))
    assert (
        await own.post(UNLOAD, json={"parameters": {"unload_dependents": False}})
    ).content == b""
    await asyncio.sleep(0.5)  # a canary may be under way
    assert served() is None, "nothing waits for the garbage collector"
    assert (await own.post(INFER, content=body())).status_code == 404
    assert (await own.get("/models/toy-identity")).status_code == 404
    assert "toy-identity" not in (await own.get("/health/ready")).json()["models"]
    gauges = [
        line for line in (await own.get("/metrics")).text.splitlines()
        if line.startswith(("autoencoder_model_ready", "autoencoder_waiting", "autoencoder_test"))
        and "toy-identity" in line
    ]  # fmt: skip
    assert gauges == []
    assert (await own.post(UNLOAD)).status_code == 200, "twice is once"
    assert (await own.post(LOAD)).status_code == 200
    assert await brightness(own) == {7}
    ready = (await own.post("/v2/repository/index", json={"ready": True})).json()
    assert {entry["state"] for entry in ready} == {"READY"}


async def test_no_request_is_lost_or_mixed_in_a_storm_of_loads(own):
    stop = asyncio.Event()

    async def load() -> int:
        count = 0
        while not stop.is_set():
            assert (await own.post(LOAD)).status_code == 200
            count += 1
        return count

    async def ask(value: int) -> None:
        sent = {"name": "images", "shape": [1, 12, 12, 1], "datatype": "UINT8"}
        for _ in range(10):
            answer = await own.post(INFER, content=body({**sent, "data": [value] * 144}))
            assert set(answer.json()["outputs"][0]["data"]) == {value}
            await asyncio.sleep(0)

    loads = [asyncio.create_task(load()) for _ in range(2)]
    await asyncio.gather(*(ask(value) for value in range(20)))
    stop.set()
    assert sum(await asyncio.gather(*loads)) >= 2


async def test_a_request_under_way_is_answered_by_the_model_it_started_with(own):
    served = own.app.state.catalog.get("toy-identity")
    slow = asyncio.create_task(served.run("reconstruct", np.full((5000, 12, 12, 1), 9, np.uint8)))
    await asyncio.sleep(0)
    await own.post(UNLOAD)
    assert set((await slow).outputs[0].ravel()) == {9}
