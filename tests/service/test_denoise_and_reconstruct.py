"""POST /denoise and /reconstruct, on toys whose answers are known to the pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from service import images, quality

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 12, 1), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (12, 12, 1), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
PNG = {"Content-Type": "image/png"}


def png(image: np.ndarray) -> bytes:
    return images.encode_png(image)


def b64(image: np.ndarray) -> str:
    return base64.b64encode(png(image)).decode()


def files(*pictures: np.ndarray, field: str = "images") -> list:
    return [(field, (f"{i}.png", png(p), "image/png")) for i, p in enumerate(pictures)]


def decoded(text: str) -> np.ndarray:
    return images.decode(base64.b64decode(text))


async def test_one_image_as_the_body_comes_back_as_a_png_with_the_models_name(client):
    answer = await client.post("/denoise", content=png(GREY), headers=PNG)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(images.decode(answer.content), GREY)
    assert answer.headers["Model-Name"] == "toy-identity"
    assert answer.headers["Model-Version"] == "1"
    assert "Quality-PSNR" not in answer.headers, "nothing to score against"


@pytest.mark.parametrize("name", ["png", "bmp", "tiff", "webp", "jpeg", "jpg", "x-ms-bmp"])
async def test_every_kind_of_file_is_taken(client, name):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, {"jpg": "JPEG", "x-ms-bmp": "BMP"}.get(name, name))
    headers = {"Content-Type": f"image/{name}"}
    answer = await client.post("/denoise", content=buffer.getvalue(), headers=headers)
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(
        images.decode(answer.content), np.array(Image.open(buffer).convert("RGB"))
    )


async def test_a_form_with_several_images_of_several_sizes_answers_each_in_its_place(client):
    wide, tall = COLOUR, COLOUR[:, :15]
    answer = await client.post("/denoise?model=toy-colour", files=files(wide, tall, wide // 2))
    body = answer.json()
    assert body["model"] == {"name": "toy-colour", "version": 1}
    assert body["quality"] is None
    for text, expected in zip(body["images"], (wide, tall, wide // 2), strict=True):
        np.testing.assert_array_equal(decoded(text), expected)
    assert body["timing_ms"]["total"] >= body["timing_ms"]["infer"] > 0


async def test_json_takes_base64_in_lines_as_the_program_base64_writes_it(client):
    lines = base64.encodebytes(png(GREY)).decode()
    assert "\n" in lines.strip()
    for text in (lines, f"data:image/png;base64,{lines}", f" {lines}\r\n"):
        answer = await client.post("/denoise", json={"images": [text]})
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(decoded(answer.json()["images"][0]), GREY)


async def test_json_takes_base64_and_data_uris(client):
    body = {"images": [b64(GREY), f"data:image/png;base64,{b64(OTHER)}"]}
    answer = await client.post("/reconstruct", json=body)
    first, second = map(decoded, answer.json()["images"])
    np.testing.assert_array_equal(first, GREY)
    np.testing.assert_array_equal(second, OTHER)


async def test_accept_chooses_the_kind_of_answer(client):
    headers = {**PNG, "Accept": "application/json"}
    answer = await client.post("/denoise", content=png(GREY), headers=headers)
    np.testing.assert_array_equal(decoded(answer.json()["images"][0]), GREY)
    answer = await client.post(
        "/denoise", json={"images": [b64(GREY)]}, headers={"Accept": "image/png, */*;q=0.1"}
    )
    assert answer.headers["content-type"] == "image/png"


async def test_references_give_quality_before_and_after_and_the_gain(client):
    noisy = GREY // 2
    form = files(noisy) + files(GREY, field="references")
    body = (await client.post("/denoise?model=toy-identity", files=form)).json()
    expected = quality.measure(noisy[None], GREY[None]).mean()
    assert body["quality"]["before"]["mean"] == pytest.approx(expected)
    assert body["quality"]["after"]["per_image"] == [pytest.approx(expected)]
    assert body["quality"]["gain_db"] == 0, "the identity gains nothing"


async def test_simulate_corrupts_the_upload_and_scores_against_it(client):
    url = "/denoise?simulate=gaussian:0.2&seed=7&model=toy-identity"
    first = await client.post(url, json={"images": [b64(GREY)]})
    again = await client.post(url, json={"images": [b64(GREY)]})
    body = first.json()
    noisy = decoded(body["noisy"][0])
    assert (noisy != GREY).any()
    assert body["seed"] == 7
    assert body["images"] == again.json()["images"] == body["noisy"], "the identity changes nothing"
    expected = quality.measure(noisy[None], GREY[None]).mean()
    assert body["quality"]["before"]["mean"] == pytest.approx(expected)


async def test_simulate_on_a_raw_body_puts_the_numbers_in_headers(client):
    url = "/denoise?simulate=occlusion:8&seed=1"
    answer = await client.post(url, content=png(GREY), headers=PNG)
    after = quality.measure(images.decode(answer.content)[None], GREY[None]).mean()
    assert float(answer.headers["Quality-PSNR"]) == pytest.approx(after["psnr"], rel=1e-4)
    assert float(answer.headers["Quality-SSIM-Before"]) == pytest.approx(after["ssim"], rel=1e-4)
    assert answer.headers["Seed"] == "1"


async def test_without_a_seed_the_answer_names_the_one_that_was_drawn(client):
    url = "/denoise?simulate=gaussian:0.3"
    first = (await client.post(url, json={"images": [b64(GREY)]})).json()
    again = (await client.post(f"{url}&seed={first['seed']}", json={"images": [b64(GREY)]})).json()
    assert again["noisy"] == first["noisy"]


async def test_quality_false_measures_nothing(client):
    form = files(GREY) + files(GREY, field="references")
    body = (await client.post("/denoise?quality=false", files=form)).json()
    assert body["quality"] is None


async def test_reconstruct_scores_against_the_input_with_the_anomaly_percentile(client, tmp_path):
    body = (await client.post("/reconstruct", json={"images": [b64(GREY), b64(OTHER)]})).json()
    assert [row["mse"] for row in body["quality"]["per_image"]] == [0, 0]
    assert body["quality"]["anomaly_percentile"] == [0, 0]


async def test_the_anomaly_percentile_is_read_off_the_models_own_test_errors(settings, tmp_path):
    from tests import toys
    from tests.conftest import running

    toys.identity(tmp_path, add=51)  # an error of 0.2, so MSE 0.04: the toy's 40th percentile
    async with running(settings(models_dir=tmp_path)) as client:
        dark = np.full((12, 12, 1), 10, np.uint8)
        answer = await client.post("/reconstruct", content=png(dark), headers=PNG)
    assert float(answer.headers["Anomaly-Percentile"]) == pytest.approx(40)
    assert float(answer.headers["Quality-MSE"]) == pytest.approx(0.04)


async def test_resize_is_done_only_when_it_is_asked_for(client):
    answer = await client.post("/denoise?model=toy-identity", content=png(COLOUR), headers=PNG)
    assert answer.status_code == 422
    assert "30x20" in answer.json()["detail"]
    assert "12x12" in answer.json()["detail"]
    url = "/denoise?model=toy-identity&fit=resize"
    answer = await client.post(url, content=png(COLOUR), headers=PNG)
    assert images.decode(answer.content).shape == (12, 12, 1)


async def test_a_colour_model_takes_grey_and_a_grey_one_takes_colour(client):
    answer = await client.post("/denoise?model=toy-colour", content=png(GREY), headers=PNG)
    np.testing.assert_array_equal(images.decode(answer.content), np.repeat(GREY, 3, 2))
    square = COLOUR[:12, :12]
    answer = await client.post("/denoise?model=toy-identity", content=png(square), headers=PNG)
    np.testing.assert_array_equal(images.decode(answer.content), images.with_channels(square, 1))


async def test_a_batch_equals_its_images_one_by_one(client):
    pictures = [RNG.integers(0, 256, (12, 12, 1), dtype=np.uint8) for _ in range(300)]
    together = (await client.post("/reconstruct", json={"images": list(map(b64, pictures))})).json()
    for text, picture in zip(together["images"], pictures, strict=True):
        np.testing.assert_array_equal(decoded(text), picture)


async def test_answers_carry_an_id_and_their_time(client):
    answer = await client.post(
        "/denoise", content=png(GREY), headers={**PNG, "X-Request-ID": "me-7"}
    )
    assert answer.headers["X-Request-ID"] == "me-7"
    assert {part.split(";")[0].strip() for part in answer.headers["Server-Timing"].split(",")} == {
        "decode", "queue", "infer", "encode", "total",
    }  # fmt: skip
    other = await client.get("/health/live", headers={"X-Request-ID": "bad id\x7f!"})
    assert len(other.headers["X-Request-ID"]) == 32
