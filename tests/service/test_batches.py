"""Many images in one request: as one by one, in their order, each with its own numbers."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from service import images, npy, quality
from service.routes import scoring
from tests.service.test_denoise_and_reconstruct import COLOUR, PNG, RNG, b64, decoded, files, png
from tests.service.test_sample_models_health import metric

pytestmark = pytest.mark.anyio

NPY = {"Content-Type": "application/x-npy"}
PICTURES = [RNG.integers(0, 256, (12, 12, 1), dtype=np.uint8) for _ in range(9)]


@pytest.mark.parametrize("route", ["denoise", "reconstruct"])
@pytest.mark.parametrize("model", ["toy-identity", "toy-vae"])
async def test_n_images_equal_n_single_ones_to_the_byte_in_every_kind_of_body(client, route, model):
    url = f"/{route}?model={model}"
    alone = [(await client.post(url, content=png(p), headers=PNG)).content for p in PICTURES]
    form = (await client.post(url, files=files(*PICTURES))).json()["images"]
    in_json = (await client.post(url, json={"images": list(map(b64, PICTURES))})).json()["images"]
    array = await client.post(url, content=npy.write(np.stack(PICTURES)), headers=NPY)
    made = np.load(io.BytesIO(array.content))
    for i, expected in enumerate(alone):
        assert images.encode_png(decoded(form[i])) == expected
        assert images.encode_png(decoded(in_json[i])) == expected
        assert images.encode_png(made[i]) == expected


@pytest.mark.parametrize("count", [1, 257, 4096])
async def test_one_request_takes_1_to_4096_images(client, count):
    batch = RNG.integers(0, 256, (count, 12, 12, 1), dtype=np.uint8)
    answer = await client.post("/reconstruct", content=npy.write(batch), headers=NPY)
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), batch)
    answer = await client.post("/reconstruct", files=files(*batch))
    body = answer.json()
    assert len(body["images"]) == len(body["quality"]["per_image"]) == count
    np.testing.assert_array_equal(decoded(body["images"][-1]), batch[-1])


@pytest.mark.parametrize("body", ["json", "form"])
async def test_one_image_too_many_is_413(client, body):
    tiny = png(np.zeros((1, 1, 1), np.uint8))
    if body == "form":
        answer = await client.post("/denoise", files=[("images", ("a.png", tiny))] * 4097)
    else:
        answer = await client.post(
            "/denoise", json={"images": [b64(np.zeros((1, 1, 1), np.uint8))] * 4097}
        )
    assert answer.status_code == 413
    assert "4096" in answer.json()["detail"]


async def test_mixed_sizes_are_each_scored_against_their_own_reference(client):
    sizes = [(20, 30), (12, 12), (20, 30), (11, 40), (12, 12)]
    clean = [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    noisy = [image // 2 for image in clean]
    form = files(*noisy) + files(*clean, field="references")
    body = (await client.post("/denoise?model=toy-colour", files=form)).json()
    for row, image, reference in zip(
        body["quality"]["after"]["per_image"], noisy, clean, strict=True
    ):
        assert row == quality.measure(image[None], reference[None]).mean()
        ssim = structural_similarity(
            image / 255,
            reference / 255,
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert row["ssim"] == pytest.approx(ssim, abs=1e-6)
    mean = np.mean([row["psnr"] for row in body["quality"]["after"]["per_image"]])
    assert body["quality"]["after"]["mean"]["psnr"] == pytest.approx(mean)


async def test_mixed_sizes_are_no_npy_and_the_refusal_says_what_is(client):
    form = files(COLOUR, COLOUR[:12])
    headers = {"Accept": "application/x-npy"}
    answer = await client.post("/denoise?model=toy-colour", files=form, headers=headers)
    assert answer.status_code == 406
    assert "fit=resize" in answer.json()["detail"]
    assert answer.json()["available"] == ["application/json"]
    url = "/denoise?model=toy-identity&fit=resize"
    assert (await client.post(url, files=form, headers=headers)).status_code == 200


async def test_images_too_small_for_ssim_have_none_and_so_has_their_mean(client):
    form = files(COLOUR, COLOUR[:10])
    body = (await client.post("/reconstruct?model=toy-colour", files=form)).json()
    assert [row["ssim"] for row in body["quality"]["per_image"]] == [1, None]
    assert body["quality"]["mean"]["ssim"] is None


async def test_quality_of_many_is_that_of_each_to_the_bit():
    made = RNG.integers(0, 256, (7, 28, 28, 1), dtype=np.uint8)
    clean = RNG.integers(0, 256, (7, 28, 28, 1), dtype=np.uint8)
    together, _ = await scoring._measured(list(made), list(clean))
    for i in range(7):
        alone = quality.measure(made[i : i + 1], clean[i : i + 1])
        for ours, theirs in zip(vars(together).values(), vars(alone).values(), strict=True):
            assert ours[i] == theirs[0]


async def test_a_bad_image_among_many_is_named_and_harms_nobody_else(client):
    body = {"images": [*map(b64, PICTURES), "aGVsbG8="]}
    answer = await client.post("/denoise", json=body)
    assert (answer.status_code, answer.json()["index"], answer.json()["field"]) == (
        422,
        9,
        "images",
    )
    body = {"images": [b64(PICTURES[0])], "references": ["aGVsbG8="]}
    answer = await client.post("/denoise", json=body)
    assert answer.json()["field"] == "references"
    assert answer.json()["detail"].startswith("reference 0")


async def test_prometheus_sees_the_quality_of_each_image_so_that_drift_can_be_alarmed_on(client):
    batch = npy.write(np.stack(PICTURES))
    await client.post("/reconstruct?model=toy-vae", content=batch, headers=NPY)
    url = "/denoise?model=toy-vae&simulate=gaussian:0.1"
    await client.post(url, content=batch, headers=NPY)
    text = (await client.get("/metrics")).text
    for verb in ("denoise", "reconstruct"):
        for name in ("psnr_db", "ssim"):
            line = f'autoencoder_quality_{name}_count{{model="toy-vae",verb="{verb}"}}'
            assert metric(text, line) == 9
    assert metric(text, 'autoencoder_anomaly_percentile_count{model="toy-vae"}') == 9
    usual = 'autoencoder_anomaly_percentile_bucket{le="50.0",model="toy-vae"}'
    assert metric(text, usual) == 0, "noise is unlike what the model learned"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/*", "image/png"),
        ("application/*", "application/json"),
        ("image/webp", "image/webp"),
        ("image/jpeg;q=0.5, image/webp;q=0.4", "image/jpeg"),
        ("image/png;q=0, */*;q=0.1", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "image/png"),
        ("", "image/png"),
        ("application/x-npy", "application/x-npy"),
    ],
)
async def test_accept_is_read_as_http_has_it(client, accept, kind):
    answer = await client.post(
        "/denoise", content=png(PICTURES[0]), headers={**PNG, "Accept": accept}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind
    if kind in ("image/png", "image/webp"):
        made = images.with_channels(images.decode(answer.content), 1)
        np.testing.assert_array_equal(made, PICTURES[0])


async def test_webp_and_jpeg_have_no_room_for_very_long_sides(settings):
    from tests.conftest import running

    long = np.zeros((1, 20_000, 3), np.uint8)
    async with running(settings()) as client:
        url = "/reconstruct?model=toy-colour&quality=false"
        answer = await client.post(url, content=png(long), headers={**PNG, "Accept": "image/webp"})
        assert answer.status_code == 406
        assert "image/png" in answer.json()["detail"]


async def test_json_answers_are_json_whatever_the_numbers(client):
    answer = await client.post(
        "/reconstruct?model=toy-colour",
        content=png(COLOUR[:5]),
        headers={**PNG, "Accept": "application/json"},
    )
    json.loads(answer.text, parse_constant=pytest.fail)
