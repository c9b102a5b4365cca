"""POST /interpolate and /sample: images between two, and images from nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from service import images, interpolation, npy
from tests.conftest import running
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
from tests.service.test_latents import NPY, flat, loaded

pytestmark = pytest.mark.anyio


async def test_the_middle_of_0_and_200_is_100(zoo):
    answer = await zoo.post(
        "/interpolate?model=toy-identity&steps=3", files=files(flat(0), flat(200))
    )
    body = answer.json()
    assert [decoded(text).max() for text in body["images"]] == [0, 100, 200]
    assert body["path"] == "linear"


async def test_ten_steps_unless_another_number_is_asked_for(zoo):
    body = (await zoo.post("/interpolate", json={"images": [b64(GREY), b64(OTHER)]})).json()
    assert len(body["images"]) == 10
    assert body["timing_ms"]["infer"] > 0


@pytest.mark.parametrize("path", ["linear", "spherical"])
@pytest.mark.parametrize("model", ["toy-identity", "toy-vae"])
async def test_the_ends_are_the_reconstructions_to_the_byte(zoo, path, model):
    sent = {"images": [b64(GREY), b64(OTHER)]}
    ends = (await zoo.post(f"/reconstruct?model={model}", json=sent)).json()["images"]
    url = f"/interpolate?model={model}&steps=7&path={path}"
    made = (await zoo.post(url, json=sent)).json()["images"]
    assert [made[0], made[-1]] == ends


async def test_a_strip_holds_every_step_side_by_side(zoo):
    answer = await zoo.post(
        "/interpolate?model=toy-identity&steps=5",
        files=files(flat(0), flat(200)),
        headers={"Accept": "image/png"},
    )
    strip = images.decode(answer.content)
    assert strip.shape == (12, 5 * 14 - 2, 1)
    assert strip[0, ::14, 0].tolist() == [0, 50, 100, 150, 200]


async def test_a_gif_shows_every_step_and_repeats(zoo):
    answer = await zoo.post(
        "/interpolate?model=toy-identity&steps=5",
        files=files(flat(0), flat(200)),
        headers={"Accept": "image/gif"},
    )
    assert answer.headers["content-type"] == "image/gif"
    gif = Image.open(io.BytesIO(answer.content))
    assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (5, 0, 100)
    gif.seek(2)
    assert np.asarray(gif.convert("L")).max() == 100


async def test_npy_of_two_gives_npy_of_all(zoo):
    batch = np.stack([GREY, OTHER])
    made = loaded(await zoo.post("/interpolate?steps=4", content=npy.write(batch), headers=NPY))
    assert made.shape == (4, 12, 12, 1)
    np.testing.assert_array_equal(made[[0, -1]], batch)


@pytest.mark.parametrize(
    ("pictures", "status", "says"),
    [
        ((GREY,), 400, "send two"),
        ((GREY, GREY, GREY), 400, "send two"),
        ((COLOUR, COLOUR[:9]), 422, "one size"),
    ],
)
async def test_anything_but_two_of_one_size_is_refused(zoo, pictures, status, says):
    answer = await zoo.post("/interpolate", files=files(*pictures))
    assert answer.status_code == status
    assert says in answer.json()["detail"]


async def test_one_picture_as_the_body_says_how_two_are_sent(zoo):
    answer = await zoo.post("/interpolate", content=png(GREY), headers=PNG)
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["detail"]


@pytest.mark.parametrize("query", ["steps=1", "steps=101", "path=zigzag"])
async def test_an_option_out_of_range_is_refused(zoo, query):
    assert (await zoo.post(f"/interpolate?{query}", files=files(GREY, OTHER))).status_code == 422


async def test_too_many_pixels_to_make_say_how_many_would_do(settings, zoo_models):
    async with running(settings(models_dir=zoo_models, max_pixels=1000)) as zoo:
        answer = await zoo.post("/interpolate?steps=8", files=files(GREY, OTHER))
        assert answer.status_code == 413
        assert "ask for 6" in answer.json()["detail"]
        assert (await zoo.post("/interpolate?steps=6", files=files(GREY, OTHER))).status_code == 200
        assert (await zoo.post("/sample?count=7")).status_code == 413
        assert (await zoo.post("/sample?count=6")).status_code == 200


def test_the_great_circle_keeps_the_length_and_turns_evenly():
    start, end = np.array([2, 0, 0], np.float32), np.array([0, 2, 0], np.float32)
    arc = interpolation.between(start, end, steps=5, path="spherical")
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), 2, rtol=1e-6)
    np.testing.assert_allclose(arc[2], [2**0.5, 2**0.5, 0], rtol=1e-6)
    angles = np.degrees(np.arctan2(arc[:, 1], arc[:, 0]))
    np.testing.assert_allclose(angles, [0, 22.5, 45, 67.5, 90], atol=1e-4)


@pytest.mark.parametrize("end", [[1, 1], [3, 3], [-1, -1], [0, 0]])
def test_where_there_is_no_great_circle_the_line_is_taken(end):
    start, end = np.ones(2, np.float32), np.array(end, np.float32)
    arc = interpolation.between(start, end, steps=5, path="spherical")
    line = interpolation.between(start, end, steps=5, path="linear")
    np.testing.assert_array_equal(arc, line)
    assert np.isfinite(arc).all()


def test_latents_of_any_shape_are_interpolated_and_the_ends_are_bits():
    rng = np.random.default_rng(0)
    start, end = rng.standard_normal((2, 3, 4, 5), dtype=np.float32)
    frames = interpolation.between(start, end, steps=2, path="spherical")
    assert frames.shape == (2, 3, 4, 5)
    assert frames.tobytes() == start.tobytes() + end.tobytes()


async def test_a_fitted_mixture_is_drawn_from_where_there_is_one(zoo):
    url = "/sample?model=toy-mixture&count=40&seed=3&temperature=0.001"
    body = (await zoo.post(url, headers={"Accept": "application/json"})).json()
    assert body["prior"] == "mixture"
    greys = {int(decoded(text).max()) for text in body["images"]}
    assert greys == {50, 150}, "its two components"


async def test_auto_takes_the_mixture_and_each_prior_can_be_asked_for(zoo):
    headers = {"Accept": "application/json"}
    for query, model, prior in (
        ("model=toy-vae", "toy-vae", "standard"),
        ("model=toy-mixture", "toy-mixture", "mixture"),
        ("prior=mixture", "toy-mixture", "mixture"),
        ("prior=standard", "toy-vae", "standard"),
    ):
        body = (await zoo.post(f"/sample?count=1&{query}", headers=headers)).json()
        assert (body["model"]["name"], body["prior"]) == (model, prior)


async def test_a_prior_that_the_model_has_not_is_refused_and_says_who_has_it(zoo):
    answer = await zoo.post("/sample?model=toy-vae&prior=mixture")
    assert answer.status_code == 409
    assert answer.json()["priors"] == ["standard"]
    assert answer.json()["models"] == ["toy-mixture"]
    assert (await zoo.post("/sample?prior=normal")).status_code == 422


@pytest.mark.parametrize("model", ["toy-vae", "toy-mixture"])
async def test_a_seed_gives_the_same_images_and_more_of_them_begin_alike(zoo, model):
    url = f"/sample?model={model}&seed=11"
    npy_headers = {"Accept": "application/x-npy"}
    few = loaded(await zoo.post(f"{url}&count=3", headers=npy_headers))
    many = await zoo.post(f"{url}&count=9", headers=npy_headers)
    assert few.shape == (3, 12, 12, 1)
    np.testing.assert_array_equal(loaded(many)[:3], few)
    assert (await zoo.post(f"{url}&count=9", headers=npy_headers)).content == many.content
    assert many.headers["Seed"] == "11"
    assert many.headers["Prior"] == {"toy-vae": "standard", "toy-mixture": "mixture"}[model]


async def test_one_sample_is_one_picture_of_any_kind(zoo):
    for kind in ("image/png", "image/webp", "image/jpeg"):
        answer = await zoo.post("/sample?count=1", headers={"Accept": kind})
        assert answer.headers["content-type"] == kind
        assert images.decode(answer.content).shape[:2] == (12, 12)
    assert (await zoo.post("/sample?count=2", headers={"Accept": "image/webp"})).status_code == 406
