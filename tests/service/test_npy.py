"""npy bodies: what numpy writes is read, what lies is refused, and nothing is lost."""

from __future__ import annotations

import contextlib
import io
import pickle

import numpy as np
import pytest

from service import npy, quality
from service.errors import RequestError
from tests.service.test_denoise_and_reconstruct import PNG, png

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(0)
BATCH = RNG.integers(0, 256, (5, 12, 12, 1), dtype=np.uint8)
NPY = {"Content-Type": "application/x-npy"}


def saved(array, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def header(text: str, *, version: int = 1) -> bytes:
    size = 2 if version == 1 else 4
    text += "\n"
    return npy.MAGIC + bytes([version, 0]) + len(text).to_bytes(size, "little") + text.encode()


def shaped(shape: str, body: bytes = b"") -> bytes:
    return header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}") + body


@pytest.mark.parametrize("query", ["denoise", "reconstruct", "denoise?quality=false"])
async def test_npy_in_and_out_loses_nothing(client, query):
    answer = await client.post(f"/{query}", content=saved(BATCH), headers=NPY)
    assert answer.headers["content-type"] == "application/x-npy"
    made = np.load(io.BytesIO(answer.content))
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, BATCH)


@pytest.mark.parametrize(
    ("sent", "shape"),
    [
        (BATCH, (5, 12, 12, 1)),
        (BATCH[..., 0], (5, 12, 12, 1)),
        (BATCH[0], (1, 12, 12, 1)),
        (BATCH[0, ..., 0], (1, 12, 12, 1)),
        (BATCH[:3, ..., 0], (3, 12, 12, 1)),
        (np.repeat(BATCH, 3, 3), (5, 12, 12, 3)),
        (np.repeat(BATCH, 3, 3)[0], (1, 12, 12, 3)),
        (np.asfortranarray(BATCH), (5, 12, 12, 1)),
        (BATCH[::-1, ::2], (5, 6, 12, 1)),
        ((BATCH / 255).astype(np.float32), (5, 12, 12, 1)),
        ((BATCH / 255).astype(np.float64), (5, 12, 12, 1)),
        ((BATCH / 255).astype(np.float16), (5, 12, 12, 1)),
        ((BATCH / 255).astype(">f4"), (5, 12, 12, 1)),
        (np.asfortranarray((BATCH / 255).astype(">f8")), (5, 12, 12, 1)),
    ],
)
def test_every_layout_of_images_is_read_exactly(sent, shape):
    read = npy.images(npy.read(saved(sent)), max_images=10, max_pixels=10_000)
    assert (read.dtype, read.shape) == (np.uint8, shape)
    expected = sent if sent.dtype == np.uint8 else np.rint(sent.astype(float) * 255)
    np.testing.assert_array_equal(read.ravel(), np.asarray(expected, np.uint8).ravel())


def test_three_axes_of_which_the_last_is_3_are_one_colour_image():
    narrow = np.zeros((5, 12, 3), np.uint8)
    read = npy.images(npy.read(saved(narrow)), max_images=10, max_pixels=10_000)
    assert read.shape == (1, 5, 12, 3)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was read",))


WRONG = {
    "not npy": (400, "numpy.save", b"[[1, 2], [3, 4]]"),
    "nothing": (400, "numpy.save", b""),
    "a zip of arrays": (400, "numpy.save", b"PK\x03\x04" + bytes(40)),
    "only the magic": (400, "header", npy.MAGIC),
    "a header cut short": (400, "header", saved(BATCH)[:40]),
    "an unknown version": (422, "9.0", npy.MAGIC + b"\x09\x00" + bytes(100)),
    "a header that claims 931 GiB": (
        400, "1000000000000 bytes",
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 1000)}"),
    ),
    "a header with more than follows": (400, "but 719 follow", saved(BATCH)[:-1]),
    "a header with less than follows": (400, "but 721 follow", saved(BATCH) + b"x"),
    "a header with a negative axis": (400, "header", header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1)}") + b"x"),
    "a header with a negative axis twice": (400, "no array", shaped("(-12, -12)", bytes(144))),
    "a header with no bytes but an axis beyond any": (400, "no array", shaped(f"(0, {2**63})")),
    "a header with a product that numpy cannot hold": (400, "of uint8", shaped(f"({2**40}, {2**40})")),
    "a header with no bytes but axes that overflow": (400, "no array", shaped(f"(0, {2**62}, {2**62})")),
    "a header with axes of thousands of digits": (400, "no array", shaped(f"({'9' * 4000}, {'9' * 4000})")),
    "a header with an axis too long to print": (400, "no array", shaped(f"(0x{'f' * 5000}, 1)")),
    "a header with 70 axes": (400, "70 axes", shaped(f"({'1,' * 70})", b"x")),
    "a header with a truth for an axis": (400, "no array", shaped("(True, 12)", bytes(12))),
    "a header that is code": (400, "header", header("__import__('os').system('true')")),
    "a header nested without end": (400, "header", header("(" * 5000)),
    "a header without end": (400, "header", npy.MAGIC + b"\x02\x00" + b"\xff\xff\xff\x7f{"),
    "a header with a shape that is text": (400, "header", header("{'descr': '|u1', 'fortran_order': False, 'shape': 'abc'}")),
    "objects": (422, "plain numbers", saved(np.array([Evil()]), allow_pickle=True)),
    "a pickle": (400, "numpy.save", pickle.dumps([1, 2])),
    "a structured type": (422, "plain numbers", saved(np.zeros((4, 4), [("a", "u1")]))),
    "text": (422, "plain numbers", saved(np.array([["a"]]))),
    "complex numbers": (422, "plain numbers", saved(np.zeros((4, 4), complex))),
    "times": (422, "plain numbers", saved(np.zeros((4, 4), "M8[s]"))),
    "integers that are not uint8": (422, "uint8", saved(BATCH.astype(np.int64))),
    "truths": (422, "uint8", saved(BATCH > 9)),
    "NaN": (422, "image 2 has pixels that are NaN", saved(np.where(np.arange(5).reshape(5, 1, 1, 1) == 2, np.nan, BATCH / 255))),
    "infinity": (422, "image 0", saved(np.full((12, 12), np.inf))),
    "floats up to 255": (422, "divide 0..255 by 255", saved(BATCH.astype(np.float32))),
    "floats below 0": (422, "outside", saved(BATCH / 255 - 0.1)),
    "one axis": (422, "[H,W]", saved(np.zeros(4, np.uint8))),
    "no axis": (422, "[H,W]", saved(np.uint8(3))),
    "five axes": (422, "[H,W]", saved(np.zeros((1, 1, 1, 1, 1), np.uint8))),
    "two channels": (422, "[H,W,C]", saved(np.zeros((1, 4, 4, 2), np.uint8))),
    "channels first": (422, "transpose(0, 2, 3, 1)", saved(np.zeros((2, 3, 12, 12), np.uint8))),
    "no images": (422, "no image", saved(np.zeros((0, 12, 12, 1), np.uint8))),
    "images without rows": (422, "no image", saved(np.zeros((1, 0, 12, 1), np.uint8))),
    "too many images": (413, "4096", saved(np.zeros((4097, 1, 1, 1), np.uint8))),
    "too many pixels": (413, "pixels", saved(np.zeros((5700, 5700), np.uint8))),
    "a wrong size": (422, "fit=resize", saved(np.zeros((2, 13, 12, 1), np.uint8))),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
async def test_what_lies_or_is_no_image_is_a_clear_4xx(client, fault):
    status, says, body = WRONG[fault]
    answer = await client.post("/denoise?model=toy-identity", content=body, headers=NPY)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"], answer.text


def test_no_flipped_byte_of_the_header_raises_anything_else():
    whole = saved(BATCH)
    for place in range(128):
        for flip in (0x01, 0x20, 0xFF):
            broken = bytearray(whole)
            broken[place] ^= flip
            with contextlib.suppress(RequestError):
                npy.images(npy.read(bytes(broken)), max_images=10, max_pixels=10_000)


async def test_npy_numbers_stand_in_headers_as_means(client):
    url = "/denoise?simulate=gaussian:0.1&seed=1&model=toy-identity"
    answer = await client.post(url, content=saved(BATCH), headers=NPY)
    noisy = np.load(io.BytesIO(answer.content))
    expected = quality.measure(noisy, BATCH).mean()
    assert float(answer.headers["Quality-PSNR"]) == pytest.approx(expected["psnr"], rel=1e-5)
    assert answer.headers["Seed"] == "1"


async def test_accept_turns_a_picture_into_npy_and_npy_into_json(client):
    headers = {**PNG, "Accept": "application/x-npy"}
    answer = await client.post("/denoise", content=png(BATCH[0]), headers=headers)
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), BATCH[:1])
    headers = {**NPY, "Accept": "application/json"}
    body = (await client.post("/reconstruct", content=saved(BATCH), headers=headers)).json()
    assert len(body["images"]) == len(body["quality"]["per_image"]) == 5
