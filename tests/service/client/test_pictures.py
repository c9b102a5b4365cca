"""`service.client`: every kind of picture goes in, by ones and thousands, and comes back."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from service import images
from service.client import Client, Limits, Unprocessable
from tests.service.client.pictures import COLOUR, GREYS, TALL, picture, same

pytestmark = pytest.mark.anyio


class Foreign:
    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return GREYS[:3]

    def __iter__(self) -> Iterator:
        raise AssertionError("an array is sent as one")


INPUTS = {
    "an array [H,W]": (lambda _: GREYS[0, :, :, 0], 1),
    "an array [H,W,C]": (lambda _: GREYS[0], 1),
    "an array [B,H,W]": (lambda _: GREYS[:3, :, :, 0], 3),
    "an array [B,H,W,C]": (lambda _: GREYS[:3], 3),
    "floats": (lambda _: GREYS[:3] / 255, 3),
    "float32": (lambda _: (GREYS[:3] / 255).astype(np.float32), 3),
    "a PIL image": (lambda _: Image.fromarray(GREYS[0, :, :, 0]), 1),
    "a palette": (lambda _: Image.fromarray(GREYS[0, :, :, 0]).convert("P"), 1),
    "a path": (lambda folder: picture(folder, GREYS[0]), 1),
    "a path as text": (lambda folder: str(picture(folder, GREYS[0], "bmp")), 1),
    "bytes": (lambda _: images.encode_png(GREYS[0]), 1),
    "a bytearray": (lambda _: bytearray(images.encode_png(GREYS[0])), 1),
    "an open file": (lambda _: io.BytesIO(images.encode_png(GREYS[0])), 1),
    "another library's array": (lambda _: Foreign(), 3),
    "a list of arrays": (lambda _: list(GREYS[:3]), 3),
    "a generator": (lambda folder: (picture(folder, grey) for grey in GREYS[:3]), 3),
    "a mixture": (
        lambda folder: [
            picture(folder, GREYS[0]),
            images.encode_png(GREYS[1]),
            Image.fromarray(GREYS[2, :, :, 0]),
            GREYS[3:],
        ],
        5,
    ),
}


@pytest.mark.parametrize("kind", INPUTS)
async def test_every_kind_of_picture_is_taken(call, kind, tmp_path):
    make, count = INPUTS[kind]
    made = await call("denoise", make(tmp_path), model="toy-identity")
    same(made, GREYS[:count])
    assert str(made.model) == "toy-identity/1"
    assert made.quality is made.noisy is made.seed is None


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ([], ValueError, "no image"),
        (3, ValueError, "send arrays"),
        ([None], ValueError, "send arrays"),
        (np.zeros((12, 12), np.int32), ValueError, "uint8"),
        (np.full((12, 12), 200.0), ValueError, "divide"),
        (np.zeros(12), ValueError, r"\[H,W\]"),
        ("nowhere.png", FileNotFoundError, "nowhere.png"),
        (Image.new("CMYK", (12, 12)), ValueError, "convert"),
    ],
)
async def test_what_cannot_be_a_picture_is_refused_before_anything_is_sent(
    call, given, error, says
):
    with pytest.raises(error, match=says):
        await call("denoise", given)


async def test_images_of_several_sizes_come_back_in_their_order(call):
    made = await call("denoise", [COLOUR, TALL, COLOUR // 2], model="toy-colour/1")
    same(made, [COLOUR, TALL, COLOUR // 2])


async def test_a_long_list_becomes_several_requests_of_one_call(url):
    seen = []

    class Watching(httpx.HTTPTransport):
        def handle_request(self, request):
            seen.append(request)
            return super().handle_request(request)

    many = np.arange(100, dtype=np.uint8)[:, None, None, None] + np.zeros((12, 12, 1), np.uint8)
    with Client(url, limits=Limits(images=16), transport=Watching()) as client:
        made = client.denoise(many)
    same(made, many)
    assert made.timing_ms.infer > 0
    assert {r.headers["X-Request-ID"] for r in seen} == {made.request_id}
    assert {r.headers["Content-Type"] for r in seen} == {"application/x-npy"}
    assert "model=auto" in str(seen[0].url)
    assert "model=toy-identity&version=1" in str(seen[-1].url), "the first model answers all"


async def test_the_index_of_a_bad_picture_counts_over_all_requests(call):
    pictures = [images.encode_png(grey) for grey in GREYS] + [b"no picture"]
    with pytest.raises(Unprocessable) as caught:
        await call("denoise", pictures)
    assert caught.value.extra["index"] == 5
    assert caught.value.status == 422
    assert caught.value.request_id
    assert "PNG" in str(caught.value)


async def test_saving_makes_a_sheet_an_animation_an_array_or_a_folder(call, tmp_path):
    made = await call("denoise", GREYS, model="toy-identity")
    (sheet,) = made.save(tmp_path / "new" / "sheet.png", columns=5)
    assert images.decode(sheet.read_bytes()).shape == (12, 5 * 14 - 2, 1)
    made.save(tmp_path / "walk.gif")
    with Image.open(tmp_path / "walk.gif") as walk:
        assert walk.n_frames == 5
    made.save(str(tmp_path / "all.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), GREYS)
    paths = made.save(tmp_path / "folder")
    same([images.decode(path.read_bytes()) for path in paths], GREYS)
    with pytest.raises(ValueError, match=r"\.png"):
        made.save(tmp_path / "a.xyz")


async def test_the_answers_may_be_written_on(call):
    made = await call("denoise", GREYS)
    made[0][:] = 0
