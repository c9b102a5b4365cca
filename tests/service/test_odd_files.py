"""Files that cameras, editors and browsers make, and broken ones, through /denoise in tiles."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from service import images
from tests import toys
from tests.conftest import running

pytestmark = pytest.mark.anyio

ADDED = 50
TALL, WIDE = 320, 280  # more than 256x256 pixels
RNG = np.random.default_rng(5)
NOISE = Image.fromarray(RNG.integers(0, 200, (TALL, WIDE, 3), dtype=np.uint8))
SMOOTH = NOISE.filter(ImageFilter.GaussianBlur(8))
PNG = {"Content-Type": "image/png"}
GREY16 = Image.fromarray(RNG.integers(0, 2**16, (TALL, WIDE), dtype=np.uint16))


@pytest.fixture(scope="module")
def photo_models(tmp_path_factory):
    models = tmp_path_factory.mktemp("photo")
    toys.identity(models, "toy-photo", size=None, channels=3, add=ADDED)
    return models


@pytest.fixture
async def photo(settings, photo_models, anyio_backend):
    async with running(settings(models_dir=photo_models, tile_pixels=2**14)) as client:
        yield client


def file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sixteen_bits_of_colour() -> bytes:
    """A PNG that Pillow reads, and does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = b"".join(b"\0" + bytes(WIDE * 6) for _ in range(TALL))
    head = struct.pack(">IIBBBBB", WIDE, TALL, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip


async def denoised(client, data: bytes, kind: str, accept: str = "image/png"):
    headers = {"Content-Type": kind, "Accept": accept}
    return await client.post("/denoise", content=data, headers=headers)


@pytest.mark.parametrize("accept", ["image/png", "image/webp"])
async def test_a_palette_with_transparent_colours_keeps_them_transparent(photo, accept):
    palette = SMOOTH.quantize(16)
    answer = await denoised(photo, file(palette, "PNG", transparency=3), "image/png", accept)
    made = np.asarray(Image.open(io.BytesIO(answer.content)))
    shown = np.asarray(palette) != 3
    assert 0 < shown.mean() < 1
    np.testing.assert_array_equal(made[..., 3], 255 * shown)
    expected = np.minimum(np.asarray(palette.convert("RGB"))[shown].astype(int) + ADDED, 255)
    np.testing.assert_array_equal(made[..., :3][shown], expected)


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
async def test_a_progressive_jpeg_on_its_side_comes_back_upright(photo, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    data = file(SMOOTH, "JPEG", progressive=True, exif=exif, quality=90)
    answer = await denoised(photo, data, "image/jpeg")
    made = Image.open(io.BytesIO(answer.content))
    assert made.size == (TALL, WIDE), "width and height have changed places"
    expected = np.minimum(images.decode(data).astype(int) + ADDED, 255)
    np.testing.assert_array_equal(np.asarray(made), expected)


@pytest.mark.parametrize(
    ("data", "kind", "status", "says"),
    [
        (file(GREY16, "PNG"), "image/png", 422, "16 or 32 bits"),
        (sixteen_bits_of_colour(), "image/png", 422, "16 bits a channel"),
        (file(SMOOTH.convert("CMYK"), "JPEG"), "image/jpeg", 422, "CMYK"),
        (file(SMOOTH.convert("LAB"), "TIFF"), "image/tiff", 422, "LAB"),
        (file(SMOOTH, "GIF", save_all=True, append_images=[NOISE]), "image/gif", 415, "image/png"),
        (file(SMOOTH, "WEBP", save_all=True, append_images=[NOISE]), "image/webp", 422, "animated"),
        (file(SMOOTH, "PNG", save_all=True, append_images=[NOISE]), "image/png", 422, "animated"),
        (file(SMOOTH, "TIFF", save_all=True, append_images=[NOISE]), "image/tiff", 422, "pages"),
        (file(NOISE, "PNG")[:-20_000], "image/png", 422, "truncated"),
        (file(NOISE, "JPEG", progressive=True)[:-2000], "image/jpeg", 422, "truncated"),
        (file(NOISE, "WEBP")[:-2000], "image/webp", 422, "truncated|corrupt"),
        (file(NOISE, "TIFF")[:-2000], "image/tiff", 422, "truncated|corrupt"),
        (file(NOISE, "BMP")[:-2000], "image/bmp", 422, "truncated|corrupt"),
    ],
)
async def test_what_cannot_be_taken_whole_is_refused_and_says_why(photo, data, kind, status, says):
    for accept in ("image/png", "multipart/mixed"):
        answer = await denoised(photo, data, kind, accept)
        assert answer.status_code == status, answer.text
        problem = json.loads(answer.content)
        assert any(word in problem["detail"] for word in says.split("|")), problem["detail"]


async def test_a_model_that_goes_amid_a_large_picture_answers_it_to_the_end(settings, tmp_path):
    """By a version that takes its place, and by an unload."""
    folder = toys.identity(tmp_path, "toy-photo", size=None, channels=3, add=ADDED, work=100)
    toys.identity(tmp_path, "toy-other")
    data = file(NOISE, "PNG")
    options = settings(models_dir=tmp_path, tile_pixels=2**14, reload_seconds=0.1)
    async with running(options) as client:
        catalog = client.app.state.catalog

        async def answered_amid(change) -> None:
            done = catalog.get("toy-photo")._large.queue.statistics
            before = done.images
            answering = asyncio.create_task(denoised(client, data, "image/png"))
            while done.images < before + 2:
                await asyncio.sleep(0.005)
            await change()
            assert not answering.done()
            answer = await answering
            assert answer.status_code == 200
            np.testing.assert_array_equal(images.decode(answer.content), np.asarray(NOISE) + ADDED)

        async def served(version: int) -> None:
            while catalog.get("toy-photo").manifest.version != version:
                await asyncio.sleep(0.02)

        async def replace() -> None:
            toys.identity(tmp_path, "toy-photo", version=2, size=None, channels=3, add=1)
            await served(2)

        async def unload() -> None:
            answer = await client.post("/v2/repository/models/toy-photo/unload")
            assert answer.status_code == 200

        await answered_amid(replace)
        shutil.rmtree(folder.parent / "2")
        await served(1)
        await answered_amid(unload)
        answer = await client.post("/denoise?model=toy-photo", content=data, headers=PNG)
        assert answer.status_code == 404
