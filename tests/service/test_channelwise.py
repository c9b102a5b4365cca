"""A model of one channel that takes colour: each channel is an image of its own to it."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import channels, images, manifest, npy
from service.errors import ManifestError
from service.manifest import ImageShape
from tests import toys
from tests.conftest import running
from tests.service.inference_requests import files
from tests.service.test_manifest import edit

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 200, (13, 9, 1), dtype=np.uint8)
COLOUR = RNG.integers(0, 200, (11, 17, 3), dtype=np.uint8)
PNG = {"Content-Type": "image/png"}
NPY = {"Content-Type": npy.MEDIA_TYPE}
ABLE = ("denoise", "reconstruct")


@pytest.fixture(scope="module")
def photo_models(tmp_path_factory):
    models = tmp_path_factory.mktemp("photo")
    # Brighter by 50: what was not through the graph is seen.
    toys.identity(models, "toy-photo", size=None, channelwise=True, add=50, abilities=ABLE)
    return models


@pytest.fixture
async def photo(settings, photo_models, anyio_backend):
    async with running(settings(models_dir=photo_models)) as client:
        yield client


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]))
def test_channels_that_were_taken_apart_are_joined_again(count, height, width, depth):
    batch = RNG.integers(0, 256, (count, height, width, depth), dtype=np.uint8)
    planes = channels.apart(batch)
    assert planes.shape == (count * depth, height, width, 1)
    np.testing.assert_array_equal(planes[depth - 1, ..., 0], batch[0, ..., depth - 1])
    np.testing.assert_array_equal(channels.joined(planes, depth), batch)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
async def test_a_picture_keeps_its_channels(photo, image):
    for verb in ABLE:
        answer = await photo.post(f"/{verb}", content=images.encode_png(image), headers=PNG)
        np.testing.assert_array_equal(images.decode(answer.content), image + 50)


async def test_arrays_and_mixtures_of_grey_and_colour_do_too(photo):
    batch = RNG.integers(0, 200, (5, 8, 6, 3), dtype=np.uint8)
    answer = await photo.post("/denoise", content=npy.write(batch), headers=NPY)
    np.testing.assert_array_equal(npy.read(answer.content), batch + 50)
    sent = [GREY, COLOUR, GREY[:5], COLOUR[:6]]
    json = {"images": [base64.b64encode(images.encode_png(image)).decode() for image in sent]}
    answer = (await photo.post("/denoise", json=json)).json()
    for text, image in zip(answer["images"], sent, strict=True):
        np.testing.assert_array_equal(images.decode(base64.b64decode(text)), image + 50)


async def test_noise_and_quality_are_of_all_channels(photo):
    url = "/denoise?simulate=gaussian:0.1&seed=3"
    headers = PNG | {"Accept": "application/json"}
    answer = await photo.post(url, content=images.encode_png(COLOUR), headers=headers)
    noisy = images.decode(base64.b64decode(answer.json()["noisy"][0]))
    assert noisy.shape == COLOUR.shape
    assert not np.array_equal(noisy[..., 0] - COLOUR[..., 0], noisy[..., 1] - COLOUR[..., 1])
    mse = ((noisy.astype(float) - COLOUR) ** 2).mean() / 255**2
    assert answer.json()["quality"]["before"]["mean"]["mse"] == pytest.approx(mse)


async def test_the_list_of_models_says_so(photo):
    (model,) = (await photo.get("/models")).json()["models"]
    assert model["image"] == "any size from 1x1, grey, or colour channel by channel"


async def test_auto_takes_it_for_colour_as_for_grey(settings, tmp_path):
    toys.identity(tmp_path, "photo", size=None, channelwise=True, psnr=30, abilities=ABLE)
    toys.identity(tmp_path, "colour", size=None, channels=3, psnr=20)
    toys.identity(tmp_path, "grey", size=None, psnr=20)
    async with running(settings(models_dir=tmp_path)) as client:
        for image in (GREY, COLOUR):
            answer = await client.post("/denoise", content=images.encode_png(image), headers=PNG)
            assert answer.headers["Model-Name"] == "photo"


async def test_the_inference_protocol_has_the_graphs_own_tensor_and_takes_colour_files(photo):
    described = (await photo.get("/v2/models/toy-photo")).json()["inputs"][0]
    assert described["shape"] == [-1, -1, -1, 1]
    assert described["parameters"]["also"].endswith("colour files channel by channel")
    url = "/v2/models/toy-photo/infer"
    answer = await photo.post(url, **files(images.encode_png(COLOUR)))
    png = base64.b64decode(answer.json()["outputs"][0]["data"][0])
    np.testing.assert_array_equal(images.decode(png), COLOUR + 50)
    wanted = [{"name": "images", "parameters": {"datatype": "UINT8"}}]
    element = images.encode_png(COLOUR)
    raw = base64.b64encode(element).decode()
    body = {
        "inputs": [{"name": "images", "shape": [1], "datatype": "BYTES", "data": [raw]}],
        "outputs": wanted,
    }
    answer = await photo.post(url, json=body)
    assert answer.status_code == 400
    assert "send them grey, or let files come back" in answer.json()["error"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": {"channels": 3}}, "must take one channel"),
        ({"abilities": ["denoise", "encode"]}, "can denoise and reconstruct, and no more"),
    ],
)
def test_a_card_that_cannot_be_is_refused(tmp_path, changes, says):
    folder = toys.identity(tmp_path, size=None, channelwise=True, abilities=ABLE)
    card = manifest.read(folder)
    if "image" in changes:
        changes = {"image": card.image.model_dump() | changes["image"]}
    edit(folder, **changes)
    with pytest.raises(ManifestError, match=says):
        manifest.read(folder)


def test_it_keeps_any_channels():
    shape = ImageShape(height=None, width=None, channels=1, channelwise=True)
    assert shape.keeps(1)
    assert shape.keeps(3)
