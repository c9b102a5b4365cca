"""POST /encode, /decode and /classify, on toys whose latents are known."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

from service import images, npy
from tests.service.test_denoise_and_reconstruct import (
    COLOUR,
    GREY,
    OTHER,
    PNG,
    b64,
    decoded,
    files,
    png,
)

pytestmark = pytest.mark.anyio

NPY = {"Content-Type": "application/x-npy"}
JSON = {"Content-Type": "application/json"}


def flat(grey: int) -> np.ndarray:
    return np.full((12, 12, 1), grey, np.uint8)


def loaded(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-npy"
    return np.load(io.BytesIO(answer.content))


async def test_the_latents_of_each_image_and_their_log_variances(zoo):
    answer = await zoo.post("/encode?model=toy-vae", files=files(flat(130), flat(90)))
    body = answer.json()
    assert body["model"] == {"name": "toy-vae", "version": 1}
    assert body["latents"] == [[30, 30], [-10, -10]]
    assert body["log_variances"] == [[0, 0], [0, 0]]
    assert answer.headers["Model-Name"] == "toy-vae"


async def test_a_model_that_is_not_variational_has_no_log_variances(zoo):
    answer = await zoo.post("/encode?model=toy-identity", content=png(GREY), headers=PNG)
    body = answer.json()
    assert body["log_variances"] is None
    np.testing.assert_array_equal(body["latents"][0], GREY)


async def test_latents_as_npy_are_float32(zoo):
    batch = np.stack([flat(130), flat(90)])
    latents = loaded(await zoo.post("/encode?model=toy-vae", content=npy.write(batch), headers=NPY))
    assert latents.dtype == np.float32
    assert latents.tolist() == [[30, 30], [-10, -10]]


async def test_images_of_several_sizes_have_latents_of_several_shapes(zoo):
    body = (await zoo.post("/encode?model=toy-colour", files=files(COLOUR, COLOUR[:9]))).json()
    assert [np.shape(latents) for latents in body["latents"]] == [(20, 30, 3), (9, 30, 3)]
    again = (await zoo.post("/decode?model=toy-colour", json={"latents": body["latents"]})).json()
    for text, expected in zip(again["images"], (COLOUR, COLOUR[:9]), strict=True):
        np.testing.assert_array_equal(decoded(text), expected)


async def test_latents_become_images(zoo):
    answer = await zoo.post("/decode?model=toy-vae", json={"latents": [[30, 0], [-10, 5]]})
    body = answer.json()
    assert [decoded(text).max() for text in body["images"]] == [130, 90]


@pytest.mark.parametrize("body", [[30, 0], [[30, 0]], [[30.25, 0.5]]])
async def test_one_images_latents_need_no_batch_axis_and_come_back_as_one_picture(zoo, body):
    answer = await zoo.post(
        "/decode?model=toy-vae", json={"latents": body}, headers={"Accept": "image/png"}
    )
    np.testing.assert_array_equal(images.decode(answer.content), flat(130))


async def test_several_images_come_as_a_grid(zoo):
    latents = np.arange(5, dtype=np.float32)[:, None].repeat(2, 1)
    headers = {**NPY, "Accept": "image/png"}
    answer = await zoo.post("/decode?model=toy-vae", content=npy.write(latents), headers=headers)
    sheet = images.decode(answer.content)
    assert sheet.shape == (2 * 14 - 2, 3 * 14 - 2, 1)
    assert [sheet[0, 0, 0], sheet[0, 14, 0], sheet[14, 14, 0], sheet[14, 28, 0]] == [
        100,
        101,
        104,
        255,
    ]


async def test_npy_latents_give_npy_images_in_any_float_type(zoo):
    for dtype in ("<f4", "<f8", ">f4", "<f2", "<i4"):
        latents = np.array([[30, 0], [-10, 0]], dtype)
        answer = await zoo.post("/decode?model=toy-vae", content=npy.write(latents), headers=NPY)
        made = loaded(answer)
        assert (made.shape, made.dtype) == ((2, 12, 12, 1), np.uint8)
        assert made[:, 0, 0, 0].tolist() == [130, 90]


async def test_auto_decodes_with_a_model_whose_latents_have_that_shape(zoo):
    body = (await zoo.post("/decode", json={"latents": [[1, 2]]})).json()
    assert body["model"]["name"] == "toy-vae"
    body = (await zoo.post("/decode", json={"latents": GREY[None].tolist()})).json()
    assert body["model"]["name"] == "toy-identity"


WRONG_LATENTS = {
    "another length": (422, "toy-vae [2]", b'{"latents": [[1, 2, 3]]}'),
    "another rank": (422, "toy-vae [2]", b'{"latents": [[[1, 2]]]}'),
    "no number of axes": (422, "toy-vae [2]", b'{"latents": [1]}'),
    "images of two shapes": (422, "toy-vae [2]", b'{"latents": [[1, 2], [3]]}'),
    "ragged": (400, "latents[0]", b'{"latents": [[[1, 2], [3]]]}'),
    "empty": (400, "no latents", b'{"latents": []}'),
    "empty rows": (422, "toy-vae [2]", b'{"latents": [[], []]}'),
    "NaN": (422, "latents[0]", b'{"latents": [[NaN, 1]]}'),
    "null": (400, "latents[0]", b'{"latents": [[null, 1]]}'),
    "too large for a float": (422, "latents[0]", b'{"latents": [[1e999, 1]]}'),
    "infinite for float32": (422, "latents[1]", b'{"latents": [[1, 1], [1e300, 1]]}'),
    "huge": (422, "latents[0]", b'{"latents": [[1e7, 1]]}'),
    "an endless integer": (400, "latents[0]", b'{"latents": [[' + b"9" * 4000 + b", 1]]}"),
    "text": (400, "latents[0]", b'{"latents": [["1", "2"]]}'),
    "truths": (400, "latents[0]", b'{"latents": [[true, false]]}'),
    "an object": (400, "latents[0]", b'{"latents": [{"a": 1}]}'),
    "no list": (400, "latents", b'{"latents": 3}'),
    "nothing": (400, "latents", b"{}"),
    "an unknown member": (400, "model", b'{"latents": [[1, 2]], "model": "x"}'),
    "deeply nested": (400, "JSON", b'{"latents": ' + b"[" * 100_000),
    "deeply nested and closed": (400, "JSON", b'{"latents": ' + b"[" * 150 + b"]" * 150 + b"}"),
    "no JSON": (400, "JSON", b"latents"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG_LATENTS)
async def test_latents_that_are_none_are_refused_and_say_what_would_have_worked(zoo, fault):
    status, says, body = WRONG_LATENTS[fault]
    answer = await zoo.post("/decode?model=toy-vae", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]
    assert "send" in answer.json()["detail"] or "no model gives" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("array", "status"),
    [
        (np.array([[np.nan, 0]], np.float32), 422),
        (np.array([[np.inf, 0]], np.float32), 422),
        (np.array([[1e30, 0]], np.float32), 422),
        (np.zeros((1, 3), np.float32), 422),
        (np.zeros((0, 2), np.float32), 400),
        (np.float32(1), 422),
        (np.zeros((1, 2), np.complex64), 422),
        (np.zeros((5000, 2), np.float32), 413),
    ],
)
async def test_npy_latents_that_are_none_are_refused(zoo, array, status):
    file = io.BytesIO()
    np.save(file, array)
    answer = await zoo.post("/decode?model=toy-vae", content=file.getvalue(), headers=NPY)
    assert answer.status_code == status, answer.text


async def test_latents_of_no_model_get_the_shapes_of_all(zoo):
    answer = await zoo.post("/decode", json={"latents": [[1, 2, 3, 4, 5]]})
    assert answer.status_code == 422
    assert answer.json()["latent_shapes"]["toy-vae"] == [2]
    assert "toy-colour [any, any, 3]" in answer.json()["detail"]


async def test_latents_that_would_become_too_many_pixels_are_413(settings, zoo_models):
    from tests.conftest import running

    async with running(settings(models_dir=zoo_models, max_pixels=300)) as zoo:
        assert (await zoo.post("/decode", json={"latents": [[1, 2]] * 2})).status_code == 200
        answer = await zoo.post("/decode", json={"latents": [[1, 2]] * 3})
        assert answer.status_code == 413
        assert "432 pixels" in answer.json()["detail"]
        big = np.zeros((1, 18, 17, 3), np.float32)
        answer = await zoo.post("/decode?model=toy-colour", content=npy.write(big), headers=NPY)
        assert answer.status_code == 413


async def test_a_picture_is_no_latents(zoo):
    answer = await zoo.post("/decode", content=png(GREY), headers=PNG)
    assert answer.status_code == 415
    assert answer.headers["Accept-Post"] == "application/json, application/x-npy"


async def test_classes_have_names_and_probabilities(zoo):
    answer = await zoo.post("/classify", files=files(flat(101), flat(99)))
    body = answer.json()
    assert body["model"]["name"] == "toy-mixture", "the only one with a classifier"
    assert body["classes"] == ["dark", "bright"]
    bright, dark = body["predictions"]
    assert (bright["label"], dark["label"]) == ("bright", "dark")
    expected = 1 / (1 + np.exp(-1))
    assert bright["probability"] == pytest.approx(expected)
    assert bright["probabilities"] == pytest.approx({"dark": 1 - expected, "bright": expected})
    assert dark["probabilities"] == pytest.approx({"dark": expected, "bright": 1 - expected})


async def test_probabilities_as_npy_are_in_the_order_of_the_classes(zoo):
    batch = np.stack([flat(101), flat(99)])
    rows = loaded(await zoo.post("/classify", content=npy.write(batch), headers=NPY))
    assert rows.dtype == np.float32
    assert rows.argmax(1).tolist() == [1, 0]


async def test_a_model_without_classes_says_which_have_some(zoo):
    answer = await zoo.post("/classify?model=toy-vae", content=png(GREY), headers=PNG)
    assert answer.status_code == 409
    assert answer.json()["models"] == ["toy-mixture"]


async def test_there_is_no_picture_of_latents_or_classes(zoo):
    for route in ("/encode", "/classify"):
        answer = await zoo.post(route, content=png(GREY), headers={**PNG, "Accept": "image/png"})
        assert answer.status_code == 406
        assert answer.json()["available"] == ["application/json", "application/x-npy"]


async def test_encode_then_decode_equals_reconstruct_to_the_byte_in_json_and_npy(zoo):
    for model in ("toy-identity", "toy-vae"):
        sent = {"images": [b64(GREY), b64(OTHER)]}
        straight = (await zoo.post(f"/reconstruct?model={model}", json=sent)).json()["images"]
        latents = (await zoo.post(f"/encode?model={model}", json=sent)).json()["latents"]
        answer = await zoo.post(
            f"/decode?model={model}", content=json.dumps({"latents": latents}), headers=JSON
        )
        assert answer.json()["images"] == straight
        batch = npy.write(np.stack([GREY, OTHER]))
        encoded = await zoo.post(f"/encode?model={model}", content=batch, headers=NPY)
        made = loaded(
            await zoo.post(f"/decode?model={model}", content=encoded.content, headers=NPY)
        )
        for image, text in zip(made, straight, strict=True):
            assert base64.b64encode(images.encode_png(image)).decode() == text


async def test_references_belong_to_denoise(zoo):
    form = files(GREY) + files(GREY, field="references")
    for route in ("/encode", "/classify", "/reconstruct"):
        answer = await zoo.post(route, files=form)
        assert answer.status_code == 400
        assert "/denoise" in answer.json()["detail"]


async def test_latents_one_after_the_other_are_a_gif(client):
    rows = [[value, 0] for value in (-50, 0, 50)]
    answer = await client.post(
        "/decode?model=toy-vae", json={"latents": rows}, headers={"Accept": "image/gif"}
    )
    assert answer.headers["content-type"] == "image/gif"
    with Image.open(io.BytesIO(answer.content)) as picture:
        frames = [np.asarray(frame.convert("L"))[0, 0] for frame in ImageSequence.Iterator(picture)]
    assert frames == [50, 100, 150]
