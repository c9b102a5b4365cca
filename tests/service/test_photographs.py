"""Photographs: turned upright, with their profile and alpha, in tiles, and with their noise told."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageCms

from service import images, noise, npy
from service.kept import on_white
from tests import toys
from tests.conftest import running

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(2)
COLOUR = RNG.integers(0, 200, (310, 290, 3), dtype=np.uint8)  # more than 256x256
SMALL = COLOUR[:40, :30]
ALPHA = RNG.integers(0, 256, (310, 290, 1), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PNG, JPEG = {"Content-Type": "image/png"}, {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def photo_models(tmp_path_factory):
    models = tmp_path_factory.mktemp("photo")
    toys.identity(models, "toy-photo", size=None, channels=3, add=50)
    toys.identity(models, "toy-fixed", size=12, channels=3)
    return models


@pytest.fixture
async def photo(settings, photo_models, anyio_backend):
    async with running(settings(models_dir=photo_models, tile_pixels=2**14)) as client:
        yield client


def file(array: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("accept", ["image/png", "image/webp"])
async def test_a_large_picture_in_tiles_is_answered_to_the_pixel(photo, accept):
    answer = await photo.post("/denoise", content=file(COLOUR), headers=PNG | {"Accept": accept})
    np.testing.assert_array_equal(images.decode(answer.content), COLOUR + 50)


@pytest.mark.parametrize("size", [(1, 1), (7, 1999), (17, 33), (3, 10_001)])
async def test_any_size_is_answered(photo, size):
    image = RNG.integers(0, 200, (*size, 3), dtype=np.uint8)
    answer = await photo.post("/denoise?model=toy-photo", content=file(image), headers=PNG)
    np.testing.assert_array_equal(images.decode(answer.content), image + 50)


async def test_a_large_tensor_of_the_inference_protocol_runs_in_tiles_too(photo):
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "images", "shape": [1, *COLOUR.shape], "datatype": "UINT8",
                    "parameters": {"binary_data_size": COLOUR.nbytes},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()  # fmt: skip
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = await photo.post(
        "/v2/models/toy-photo/infer", content=head + COLOUR.tobytes(), headers=headers
    )
    assert answer.content.endswith((COLOUR + np.uint8(50)).tobytes())
    assert photo.app.state.catalog.get("toy-photo")._large.queue.statistics.images > 10


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("image", [SMALL, COLOUR], ids=["small", "large"])
async def test_a_photograph_comes_back_upright_and_says_no_other_orientation(photo, turn, image):
    exif = Image.Exif()
    exif[0x0112] = turn
    sent = file(image, "JPEG", exif=exif, quality=95)
    upright = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 3),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90,
    }[turn](np.asarray(opened(sent)))  # fmt: skip
    for accept in ("image/png", "image/jpeg"):
        answer = await photo.post("/denoise", content=sent, headers=JPEG | {"Accept": accept})
        made = opened(answer.content)
        assert 0x0112 not in made.getexif()
        assert made.size == upright.shape[1::-1]
        if accept == "image/png":
            expected = np.minimum(upright.astype(int) + 50, 255)
            np.testing.assert_array_equal(np.asarray(made), expected)


@pytest.mark.parametrize("accept", ["image/png", "image/jpeg", "image/webp", "application/json"])
async def test_the_profile_of_its_colours_is_kept(photo, accept):
    sent = file(COLOUR, "JPEG", icc_profile=SRGB)
    answer = await photo.post("/denoise", content=sent, headers=JPEG | {"Accept": accept})
    body = answer.content
    if accept == "application/json":
        body = base64.b64decode(answer.json()["images"][0])
    assert opened(body).info["icc_profile"] == SRGB


@pytest.mark.parametrize("profile", [b"x" * 200, b"\0" * 16 + b"GRAY" + b"\0" * 200, b"y"])
async def test_a_profile_that_is_none_for_these_colours_is_left_out(photo, profile):
    answer = await photo.post("/denoise", content=file(SMALL, icc_profile=profile), headers=PNG)
    assert answer.status_code == 200
    assert "icc_profile" not in opened(answer.content).info


@pytest.mark.parametrize("accept", ["image/png", "image/webp", "application/json"])
@pytest.mark.parametrize("side", [30, 290])
async def test_alpha_passes_a_model_for_any_size_by(photo, accept, side):
    alpha = ALPHA[:side, :side]
    sent = file(np.concatenate([COLOUR[:side, :side], alpha], axis=2))
    answer = await photo.post("/denoise", content=sent, headers=PNG | {"Accept": accept})
    body = answer.content
    if accept == "application/json":
        body = base64.b64decode(answer.json()["images"][0])
    made = np.asarray(opened(body))
    np.testing.assert_array_equal(made[..., 3:], alpha)
    seen = alpha[..., 0] > 0  # what is not seen a file need not keep
    np.testing.assert_array_equal(made[..., :3][seen], COLOUR[:side, :side][seen] + 50)


@pytest.mark.parametrize(("accept", "mode"), [("image/png", "LA"), ("image/webp", "RGBA")])
async def test_grey_with_alpha_stays_grey_with_alpha(settings, tmp_path, accept, mode):
    toys.identity(tmp_path, size=None, channelwise=True, add=50, abilities=("denoise",))
    pixels = np.concatenate([COLOUR[..., :1], ALPHA], axis=2)
    async with running(settings(models_dir=tmp_path)) as client:
        headers = PNG | {"Accept": accept}
        answer = await client.post("/denoise", content=file(pixels), headers=headers)
    made = opened(answer.content)
    assert made.mode == mode
    np.testing.assert_array_equal(np.asarray(made.getchannel("A")), ALPHA[..., 0])
    seen = ALPHA[..., 0] > 0
    grey = np.asarray(made.getchannel(0))
    np.testing.assert_array_equal(grey[seen], COLOUR[..., 0][seen] + 50)


async def test_where_there_is_no_room_for_alpha_it_lies_on_white(photo):
    rgba = np.concatenate([COLOUR, ALPHA], axis=2)
    white = on_white(COLOUR + np.uint8(50), ALPHA)
    headers = PNG | {"Accept": npy.MEDIA_TYPE}
    answer = await photo.post("/denoise", content=file(rgba), headers=headers)
    np.testing.assert_array_equal(npy.read(answer.content)[0], white)
    answer = await photo.post(
        "/denoise", content=file(rgba), headers=PNG | {"Accept": "image/jpeg"}
    )
    made = np.asarray(opened(answer.content)).astype(int)
    assert abs(made.mean() - white.mean()) < 1
    fixed = await photo.post("/denoise?model=toy-fixed", content=file(rgba[:12, :12]), headers=PNG)
    np.testing.assert_array_equal(
        np.asarray(opened(fixed.content)), on_white(COLOUR[:12, :12], ALPHA[:12, :12])
    )


async def test_opaque_alpha_says_nothing_and_is_dropped(photo):
    rgba = np.concatenate([SMALL, np.full((40, 30, 1), 255, np.uint8)], axis=2)
    answer = await photo.post("/denoise", content=file(rgba), headers=PNG)
    assert opened(answer.content).mode == "RGB"


async def test_a_reference_with_alpha_is_compared_as_its_image_is(photo):
    rgba = file(np.concatenate([COLOUR, ALPHA], axis=2))
    parts = [("images", ("a.png", rgba, "image/png")), ("references", ("a.png", rgba, "image/png"))]
    quality = (await photo.post("/denoise?model=toy-photo", files=parts)).json()["quality"]
    assert quality["before"]["mean"]["psnr"] == 100
    assert quality["after"]["mean"]["mse"] == pytest.approx((50 / 255) ** 2)


def picture(std: float, height: int = 400, width: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """A picture of flat, smooth and textured places, and one with noise."""
    rows, columns = np.mgrid[:height, :width]
    clean = 90 + 60 * np.sin(rows / 40) + 30 * np.cos(columns / 25)
    clean[:, width // 2 :] += 30 * np.sign(np.sin(rows * columns / 90))[:, width // 2 :]
    clean = np.clip(clean, 0, 255)[..., None]
    noisy = clean + np.random.default_rng(0).normal(0, std, clean.shape)
    return clean.astype(np.uint8), np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("std", [2, 10, 25])
def test_the_noise_that_was_taken_off_is_measured(std):
    clean, noisy = picture(std)
    measured = noise.measure(noisy, clean)
    assert measured.std == pytest.approx(std, rel=0.05, abs=0.2)
    assert abs(measured.kurtosis) < 0.1
    of_three = noise.measure(np.repeat(noisy, 3, 2), np.repeat(clean, 3, 2))
    assert of_three.std == pytest.approx(measured.std, rel=1e-3)
    assert of_three.kurtosis == pytest.approx(measured.kurtosis, abs=0.02)


def test_single_wrong_pixels_and_noise_in_places_are_no_normal_noise():
    clean, _ = picture(0)
    rng = np.random.default_rng(0)
    wrong = clean + 40 * (rng.random(clean.shape) < 0.02).astype(np.uint8)
    assert noise.measure(wrong, clean).kurtosis == pytest.approx(1 / 0.02 - 3, rel=0.1)
    rows = np.arange(len(clean))[:, None, None]
    in_places = np.clip(clean + rng.normal(0, 1 + 20 * (rows % 80 < 16), clean.shape), 0, 255)
    assert noise.measure(in_places.astype(np.uint8), clean).kurtosis > 3


def test_of_less_than_a_grey_level_only_the_strength_is_told():
    clean, noisy = picture(0.5)
    measured = noise.measure(noisy, clean)
    assert 0 < measured.std < 1
    assert measured.kurtosis is None


def test_texture_that_was_lost_with_the_noise_does_not_count():
    clean, noisy = picture(10)
    blurred = clean.copy()
    blurred[:, 300:] = 100  # what a bad denoiser makes of the textured half
    flat = noise.measure(noisy[:, :300], clean[:, :300])
    blurred[::2, 300:] = 140
    assert noise.measure(noisy, blurred).std == pytest.approx(flat.std, rel=0.1)


def test_a_small_image_says_nothing_of_its_noise():
    clean, noisy = picture(10)
    assert noise.measure(noisy[:63, :64], clean[:63, :64]) is None
    assert noise.measure(noisy[:64, :64], clean[:64, :64]) is not None


async def test_the_answer_says_how_noisy_the_picture_was(photo):
    answer = await photo.post("/denoise", content=file(COLOUR), headers=PNG)
    assert float(answer.headers["Noise-Std"]) == pytest.approx(50)
    parts = [("images", (f"{i}.png", file(each), "image/png")) for i, each in
             enumerate((COLOUR, SMALL))]  # fmt: skip
    answer = await photo.post("/denoise?model=toy-photo", files=parts)
    assert answer.json()["noise_std"] == [pytest.approx(50), None]
    answer = await photo.post("/denoise", content=file(SMALL[:12, :12]), headers=PNG)
    assert answer.headers["Model-Name"] == "toy-fixed"
    assert "Noise-Std" not in answer.headers


async def test_what_was_taken_off_has_its_place_among_noise_that_was_learned(settings, tmp_path):
    """A flat 50 has an excess kurtosis of -2."""
    known = tuple(-4 + place / 25 for place in range(101))
    toys.identity(tmp_path, "toy-photo", size=None, channels=3, add=50, kurtoses=known)
    async with running(settings(models_dir=tmp_path)) as client:
        answer = await client.post("/denoise", content=file(COLOUR), headers=PNG)
        assert float(answer.headers["Noise-Anomaly-Percentile"]) == pytest.approx(50)
        parts = [("images", ("a.png", file(each))) for each in (COLOUR, SMALL)]
        answer = await client.post("/denoise", files=parts)
        assert answer.json()["noise_anomaly_percentile"] == [pytest.approx(50), None]
        metrics = (await client.get("/metrics")).text
    assert 'autoencoder_noise_anomaly_percentile_count{model="toy-photo"} 2.0' in metrics


async def test_a_card_without_percentiles_says_nothing_of_the_kind_of_noise(photo):
    answer = await photo.post("/denoise", content=file(COLOUR), headers=PNG)
    assert "Noise-Std" in answer.headers
    assert "Noise-Anomaly-Percentile" not in answer.headers
    answer = await photo.post("/denoise", files={"images": ("a.png", file(COLOUR))})
    assert answer.json()["noise_anomaly_percentile"] is None


async def test_what_the_client_saves_has_alpha_and_profile_too(photo_models, tmp_path):
    from service.app import create_app
    from service.client import Client
    from service.settings import Settings
    from tests.listening import listening

    rgba = np.concatenate([COLOUR, ALPHA], axis=2)
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        path.write_bytes(file(rgba, icc_profile=SRGB))
    app = create_app(Settings(models_dir=photo_models))
    with listening(app) as url, Client(url) as client:
        for sent in (paths[:1], paths, paths[0].read_bytes()):
            made = client.denoise(sent, model="toy-photo")
            np.testing.assert_array_equal(made[0], on_white(COLOUR + np.uint8(50), ALPHA))
            folder = made.save(tmp_path / "made")
            (jpeg,) = client.denoise(paths[0], model="toy-photo").save(tmp_path / "one.jpg")
            assert opened(jpeg.read_bytes()).info["icc_profile"] == SRGB
            for path in folder:
                saved = opened(path.read_bytes())
                assert saved.info["icc_profile"] == SRGB
                np.testing.assert_array_equal(np.asarray(saved)[..., 3:], ALPHA)
                shown = ALPHA[..., 0] > 0
                np.testing.assert_array_equal(np.asarray(saved)[shown][:, :3], COLOUR[shown] + 50)
        arrays = client.denoise(COLOUR, model="toy-photo")
        assert arrays.files is None
        np.testing.assert_array_equal(arrays[0], COLOUR + 50)
