"""The plain PNG's own reader says what Pillow says, or nothing; its writer is read back by Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from service import images, png

RNG = np.random.default_rng(5)


def file(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    mode = {2: None, 3: None}[array.ndim]
    Image.fromarray(array, mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        array = np.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


def chunk(name: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def header(width=2, height=2, depth=8, colour=0, compression=0, filtering=0, interlace=0) -> bytes:
    values = (width, height, depth, colour, compression, filtering, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *values))


PIXELS = chunk(b"IDAT", zlib.compress(b"\0ab\0cd"))
END = chunk(b"IEND")


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    colour=st.booleans(),
    level=st.integers(0, 9),
    smooth=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_what_pillow_writes_is_read_to_the_pixel(height, width, colour, level, smooth, seed):
    shape = (height, width, 3) if colour else (height, width)
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    if smooth:  # so that the writer chooses other filters
        array = np.cumsum(array // 64, axis=1, dtype=np.uint8)
    data = file(array, compress_level=level)
    plain = png.plain(data)
    assert plain is not None
    assert (plain.width, plain.height) == (width, height)
    np.testing.assert_array_equal(plain.pixels(), by_pillow(data))


@given(
    height=st.integers(1, 60), width=st.integers(1, 60), channels=st.sampled_from([1, 3]),
    contiguous=st.booleans(),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back_by_pillow(height, width, channels, contiguous):
    image = RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)
    image = image if contiguous else image[:, ::-1]
    data = png.write(image)
    np.testing.assert_array_equal(by_pillow(data), image)
    np.testing.assert_array_equal(images.decode(data), image)


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 400))
@settings(max_examples=400, deadline=None)
def test_damaged_bytes_are_never_read_otherwise_than_by_pillow(place, value, cut):
    data = bytearray(file(RNG.integers(0, 256, (9, 11), dtype=np.uint8)))
    data[place % len(data)] = value
    data = bytes(data[: len(data) - cut] if cut < 100 else data)
    plain = png.plain(data)
    made = plain.pixels() if plain else None
    if made is not None:
        np.testing.assert_array_equal(made, by_pillow(data))


@given(content=st.binary(max_size=40), level=st.integers(0, 9), rest=st.binary(max_size=6))
@settings(max_examples=200, deadline=None)
def test_pixels_that_are_too_few_or_corrupt_are_none(content, level, rest):
    data = header(4, 4) + chunk(b"IDAT", zlib.compress(content, level) + rest) + END
    made = png.plain(data).pixels()
    try:
        expected = by_pillow(data)
    except (OSError, SyntaxError):
        expected = None
    assert (made is None) == (expected is None)
    if made is not None:
        np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(
    "data",
    {
        "empty": b"",
        "a signature": b"\x89PNG\r\n\x1a\n",
        "no end": header() + PIXELS,
        "no width": header(width=0) + PIXELS + END,
        "16 bits": header(depth=16) + PIXELS + END,
        "a palette": header(colour=3) + chunk(b"PLTE", b"abc") + PIXELS + END,
        "alpha": header(colour=6) + PIXELS + END,
        "interlaced": header(interlace=1) + PIXELS + END,
        "another compression": header(compression=1) + PIXELS + END,
        "a transparent grey": header() + chunk(b"tRNS", b"\0a") + PIXELS + END,
        "an orientation": header() + chunk(b"eXIf", b"II*\0") + PIXELS + END,
        "an animation": header() + chunk(b"acTL", b"\0" * 8) + PIXELS + END,
        "text, in which an orientation may be": header() + chunk(b"iTXt", b"XML") + PIXELS + END,
        "two headers": header() + header()[8:] + PIXELS + END,
        "a chunk between the pixels": header() + PIXELS + chunk(b"tIME", b"1234567") + PIXELS + END,
        "a wrong checksum": header() + PIXELS[:-1] + b"\0" + END,
        "a chunk longer than the file": header() + b"\xff\xff\xff\xffIDAT" + PIXELS + END,
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_not_plain_is_left_to_pillow(data):
    assert png.plain(data[1]) is None


def test_harmless_chunks_and_several_of_pixels_are_plain():
    information = PngImagePlugin.PngInfo()
    information.add(b"gAMA", b"\0\0\xb1\x8f")
    array = RNG.integers(0, 256, (300, 300), dtype=np.uint8)
    data = file(array, pnginfo=information, dpi=(72, 72))
    assert data.count(b"IDAT") > 1
    np.testing.assert_array_equal(png.plain(data).pixels()[:, :, 0], array)


def test_a_small_picture_is_stored_in_one_packet_and_a_larger_one_is_compressed():
    assert len(png.write(np.zeros((28, 28, 1), np.uint8))) < 1100
    assert len(png.write(np.zeros((280, 280, 1), np.uint8))) < 1000


@pytest.mark.parametrize("shape", [(1500, 1100), (1100, 700, 3), (3, 2**19, 3), (1, 2**21)])
def test_a_picture_larger_than_a_band_is_read_whole(shape):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    plain = png.plain(file(array, compress_level=0))
    np.testing.assert_array_equal(plain.pixels(), array.reshape(*shape[:2], -1))
