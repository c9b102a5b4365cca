"""Bytes in, uint8 out: what each kind of file becomes, and what is refused."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service import images
from service.errors import TooLarge, Unprocessable

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (13, 17), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (13, 17, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_files_come_back_as_they_were(array, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = images.decode(saved(Image.fromarray(array), kind, **options))
    expected = np.repeat(array[:, :, None], 3, 2) if kind == "WEBP" and array.ndim == 2 else array
    np.testing.assert_array_equal(decoded.squeeze(), expected)
    assert decoded.ndim == 3


def test_a_jpeg_comes_close():
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    decoded = images.decode(saved(Image.fromarray(smooth), "JPEG", quality=95))
    assert np.abs(decoded[:, :, 0].astype(int) - smooth).max() < 8


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 3), (28, 28, 1)])
def test_what_is_encoded_decodes_to_the_same(shape):
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(images.decode(images.encode_png(image)), image)


def test_alpha_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    np.testing.assert_array_equal(images.decode(saved(image))[0], [[200, 0, 0], [255, 255, 255]])
    grey = Image.new("LA", (1, 1), (0, 0))
    assert images.decode(saved(grey)).tolist() == [[[255]]]


def test_a_palette_is_looked_up_and_a_bitmap_is_grey():
    palette = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(images.decode(saved(palette)), np.array(palette.convert("RGB")))
    bitmap = Image.fromarray(GREY > 127)
    np.testing.assert_array_equal(images.decode(saved(bitmap))[:, :, 0], (GREY > 127) * 255)


def test_a_photograph_is_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 270 degrees to see it upright
    decoded = images.decode(saved(Image.fromarray(COLOUR), "PNG", exif=exif))
    np.testing.assert_array_equal(decoded, np.rot90(COLOUR, 3))


def test_colour_to_grey_is_as_pillow_has_it():
    ours = images.with_channels(COLOUR, 1)[:, :, 0]
    np.testing.assert_array_equal(ours, np.array(Image.fromarray(COLOUR).convert("L")))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        + b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"
    )  # fmt: skip


def test_a_header_that_claims_four_billion_pixels_is_refused_before_decoding():
    with pytest.raises(TooLarge, match="65535x65535"):
        images.decode(png_claiming(65535, 65535))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 not an image", "no image"),
        (saved(Image.fromarray(COLOUR))[:200], "truncated"),
        (saved(Image.fromarray(COLOUR), "JPEG")[:-100], "truncated"),
        (saved(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "CMYK"),
        (saved(Image.fromarray(GREY.astype(np.uint16) * 257)), "16 or 32 bits"),
        (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "floating point"),
        (
            saved(Image.fromarray(GREY), "PNG", save_all=True,
                  append_images=[Image.fromarray(GREY.T.copy().reshape(13, 17))]),
            "animated",
        ),
        (b"GIF89a", "no image"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_and_says_what_would_do(data, says):
    with pytest.raises(Unprocessable, match=says) as refusal:
        images.decode(data)
    assert ": use " in refusal.value.detail


def test_no_truncation_or_flipped_byte_raises_anything_else():
    whole = saved(Image.fromarray(COLOUR))
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(Unprocessable):
            images.decode(whole[: min(length, len(whole) - 40)])
    for place in range(8, len(whole), 11):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        with contextlib.suppress(Unprocessable, TooLarge):
            images.decode(bytes(broken))


def test_a_grid_lays_images_out_in_rows_on_white():
    sheet = images.grid(np.zeros((5, 2, 3, 1), np.uint8), gap=1)
    assert sheet.shape == (2 * 3 - 1, 3 * 4 - 1, 1)
    assert sheet[0, 0, 0] == 0
    assert sheet[2, 0, 0] == 255
    assert sheet[3, 8, 0] == 255, "the sixth place is empty"


def test_resize_gives_the_size_asked_for():
    assert images.resize(COLOUR[:, :, :], 28, 30).shape == (28, 30, 3)
    assert images.resize(GREY[:, :, None], 28, 30).shape == (28, 30, 1)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
@pytest.mark.parametrize("width", [16, 53, 54, 72, 160, 161])
def test_rows_of_16_bytes_are_no_16_bits(kind, width):
    for shape in ((2, width), (2, width, 3)):
        array = RNG.integers(0, 256, shape, dtype=np.uint8)
        decoded = images.decode(saved(Image.fromarray(array), kind))
        np.testing.assert_array_equal(decoded.squeeze(), array)


def test_a_photograph_with_a_preview_behind_it_is_a_jpeg():
    photograph = Image.fromarray(COLOUR)
    preview = [photograph.resize((8, 8))]
    file = saved(photograph, "MPO", save_all=True, append_images=preview)
    opened = images.open_image(file, max_pixels=10_000)
    assert images.media_type(opened) == "image/jpeg"
    assert images.pixels(opened).shape == COLOUR.shape


def test_the_pages_of_a_tiff_are_not_counted_to_refuse_it():
    file = bytearray(saved(Image.fromarray(GREY), "TIFF"))
    (start,) = struct.unpack_from("<I", file, 4)
    (entries,) = struct.unpack_from("<H", file, start)
    # The next page begins where the file ends: whoever goes there to count it fails.
    struct.pack_into("<I", file, start + 2 + 12 * entries, len(file))
    with pytest.raises(Unprocessable, match="several pages"):
        images.decode(bytes(file) + bytes(6))
