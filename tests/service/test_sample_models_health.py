"""POST /sample, GET /models, /health, /metrics and /docs."""

from __future__ import annotations

import asyncio
import re
import time

import numpy as np
import pytest

from service import images, npy
from service.turns import Run
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio


async def test_the_same_seed_gives_the_same_bytes(client):
    first, again = [await client.post("/sample?count=16&seed=1") for _ in range(2)]
    other = await client.post("/sample?count=16&seed=2")
    assert first.status_code == 200
    assert first.headers["content-type"] == "image/png"
    assert first.content == again.content != other.content
    assert first.headers["Seed"] == "1"
    assert images.decode(first.content).shape == (4 * 14 - 2, 4 * 14 - 2, 1)


async def test_each_sample_is_in_the_json_and_temperature_zero_is_the_mean(client):
    headers = {"Accept": "application/json"}
    body = (await client.post("/sample?count=3&temperature=0&seed=5", headers=headers)).json()
    assert (body["model"]["name"], body["seed"], len(body["images"])) == ("toy-vae", 5, 3)
    assert len(set(body["images"])) == 1, "every draw is the prior's mean"


@pytest.mark.parametrize("query", ["count=0", "count=9999", "temperature=-1", "temperature=nan"])
async def test_an_option_out_of_range_is_refused(client, query):
    assert (await client.post(f"/sample?{query}")).status_code == 422


async def test_a_model_that_cannot_sample_says_what_it_can(client):
    answer = await client.post("/sample?model=toy-identity")
    assert answer.status_code == 409
    assert answer.json()["models"] == ["toy-vae"]


async def test_models_lists_abilities_scores_and_the_ranking_of_auto(client):
    body = (await client.get("/models")).json()
    assert [m["name"] for m in body["models"]] == ["toy-colour", "toy-identity", "toy-vae"]
    assert body["models"][1]["image"] == "12x12 grey"
    assert body["ranking"]["sample"] == ["toy-vae"]
    assert body["ranking"]["denoise"][-1] == "toy-vae"
    assert body["refused"] == {}


async def test_a_card_is_the_whole_manifest(client):
    body = (await client.get("/models/toy-vae")).json()
    assert body["manifest"]["latent_shape"] == [2]
    assert body["manifest"]["provenance"]["commit"] == "0" * 40
    assert body["versions"] == [1]
    assert (await client.get("/models/toy")).status_code == 404
    assert (await client.get("/models/toy-vae/card.png")).status_code == 404


async def test_ready_means_that_every_model_just_gave_its_known_answer(client):
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "models": {"toy-colour/1": "ok", "toy-identity/1": "ok", "toy-vae/1": "ok"},
        "workers": {"1": "ok"},
    }


async def test_a_model_that_answers_wrongly_late_or_not_at_all_makes_the_service_unready(
    client, monkeypatch
):
    served = client.app.state.catalog.get("toy-identity")

    async def wrong(verb, batch):
        return Run((255 - batch,), 0, 0)

    async def failing(verb, batch):
        raise RuntimeError

    async def hung(verb, batch):
        await asyncio.sleep(60)

    for fault, says in ((wrong, "wrong"), (failing, "failed: RuntimeError"), (hung, "late")):
        monkeypatch.setattr(served, "run", fault)
        await asyncio.sleep(0.3)  # an outcome is good for so long
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["models"]["toy-identity/1"].startswith(says)
        assert answer.json()["models"]["toy-vae/1"] == "ok"
        assert (await client.get("/health/live")).json() == {"live": True}
        v2 = await client.get("/v2/models/toy-identity/ready")
        assert (v2.status_code, v2.json()["ready"]) == (503, False)


async def test_a_long_queue_is_busy_and_not_a_fault_while_its_runs_go_on(client, monkeypatch):
    served = client.app.state.catalog.get("toy-identity")
    monkeypatch.setattr(client.app.state.worker._canaries, "_patience", 0.05)
    image = np.zeros((1, 12, 12, 1), np.uint8)
    queue = served._queues["reconstruct"]
    real = queue._function

    def slow(batch):
        time.sleep(0.03)
        return real(batch)

    monkeypatch.setattr(queue, "_function", slow)
    monkeypatch.setattr(queue._turns, "_max_batch", 1)
    monkeypatch.setattr(queue, "_seconds_per_byte", 0.03 / image.nbytes)
    await asyncio.sleep(0.3)  # the outcome of the start is good for so long
    flood = asyncio.gather(*(served.run("reconstruct", image) for _ in range(10)))
    await asyncio.sleep(0.01)
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["models"]["toy-identity/1"].startswith("busy")
    await flood


def metric(text: str, line: str) -> float:
    return float(re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)[1])


async def test_metrics_count_requests_images_and_quality(client):
    await client.post("/denoise?simulate=gaussian:0.1", content=GOOD, headers=PNG)
    await client.post("/denoise", content=b"", headers=PNG)
    await client.get("/made-up-path-that-must-not-become-a-label")
    await client.get("/health/ready")
    answer = await client.get("/metrics")
    text = answer.text
    requests = 'autoencoder_requests_total{method="POST",route="/denoise",status="%d"}'
    assert metric(text, requests % 200) == 1
    assert metric(text, requests % 422) == 1
    assert "made-up" not in text
    images_line = 'autoencoder_images_total{model="toy-identity",verb="reconstruct",version="1"}'
    assert metric(text, images_line) == 1
    psnr = 'autoencoder_quality_psnr_db_count{model="toy-identity",verb="denoise"}'
    assert metric(text, psnr) == 1
    assert metric(text, 'autoencoder_model_ready{model="toy-vae",version="1"}') == 1
    expected = client.app.state.catalog.get("toy-identity").manifest.served_psnr("denoise")
    test_psnr = 'autoencoder_test_psnr_db{model="toy-identity",verb="denoise",version="1"}'
    assert metric(text, test_psnr) == expected
    assert metric(text, "process_resident_memory_bytes") > 2**20


async def test_metrics_tell_how_many_images_ran_together(client):
    batch = npy.write(np.zeros((5, 12, 12), np.uint8))
    npys = {"Content-Type": npy.MEDIA_TYPE}
    await client.post("/denoise?model=toy-identity", content=batch, headers=npys)
    text = (await client.get("/metrics")).text
    assert metric(text, 'autoencoder_batch_images_sum{model="toy-identity"}') == 5
    assert metric(text, 'autoencoder_batch_images_bucket{le="4.0",model="toy-identity"}') == 0


async def test_docs_work_without_the_internet(client):
    page = (await client.get("/docs")).text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith("/"), address
        assert (await client.get(address)).status_code == 200


async def test_openapi_names_every_body_and_every_problem(client):
    document = (await client.get("/openapi.json")).json()
    for route in ("/denoise", "/reconstruct"):
        post = document["paths"][route]["post"]
        assert set(post["requestBody"]["content"]) >= {
            "image/png", "image/jpeg", "multipart/form-data", "application/json",
        }  # fmt: skip
        assert "application/problem+json" in post["responses"]["422"]["content"]
        assert "image/png" in post["responses"]["200"]["content"]
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= set(document["components"]["schemas"])


async def test_many_callers_at_once_each_get_their_own_image(client):
    pictures = [np.full((12, 12, 1), i, np.uint8) for i in range(200)]
    answers = await asyncio.gather(
        *(client.post("/denoise", content=images.encode_png(p), headers=PNG) for p in pictures)
    )
    for picture, answer in zip(pictures, answers, strict=True):
        np.testing.assert_array_equal(images.decode(answer.content), picture)
