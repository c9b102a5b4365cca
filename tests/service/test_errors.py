"""Whatever is sent, the answer is a clear 4xx problem, and the service goes on."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from service import images
from tests import toys
from tests.conftest import running
from tests.service.test_images import png_claiming

pytestmark = pytest.mark.anyio

GOOD = images.encode_png(np.full((12, 12, 1), 7, np.uint8))
B64 = base64.b64encode(GOOD).decode()
PNG = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}


def form(*parts: tuple[str, str | None, bytes]) -> dict:
    body = b""
    for field, filename, data in parts:
        name = f'; filename="{filename}"' if filename else ""
        body += f'--b\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'.encode()
        body += data + b"\r\n"
    return {
        "content": body + b"--b--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
    }


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GREY = Image.new("L", (12, 12), 7)
FAULTS = {
    "a 1x1 image": (422, "the image is 1x1, and this model takes 12x12 grey", {"content": saved(GREY.resize((1, 1))), "headers": PNG}),
    "10,000 x 10,000 pixels": (413, "10000x10000", {"content": saved(Image.new("1", (10_000, 10_000))), "headers": PNG}),
    "CMYK": (422, "CMYK", {"content": saved(GREY.convert("CMYK"), "TIFF"), "headers": {"Content-Type": "image/tiff"}}),
    "16 bits a channel": (422, "16 or 32 bits", {"content": saved(GREY.convert("I;16")), "headers": PNG}),
    "an animation": (422, "animated", {"content": saved(GREY, save_all=True, append_images=[Image.new("L", (12, 12))]), "headers": PNG}),
    "a TIFF of two pages": (422, "several pages", {"content": saved(GREY, "TIFF", save_all=True, append_images=[GREY]), "headers": {"Content-Type": "image/tiff"}}),
    "a PDF": (422, "no image", {"content": b"%PDF-1.7", "headers": PNG}),
    "an empty body": (422, "empty", {"content": b"", "headers": PNG}),
    "a truncated PNG": (422, "truncated", {"content": GOOD[:-20], "headers": PNG}),
    "a header that claims 4 GB": (413, "65535", {"content": png_claiming(65535, 65535), "headers": PNG}),
    "a lying content type": (415, "image/png", {"content": GOOD, "headers": {"Content-Type": "image/jpeg"}}),
    "no content type": (415, "image/png", {"content": GOOD}),
    "a strange content type": (415, "image/png", {"content": GOOD, "headers": {"Content-Type": "text/csv"}}),
    "a compressed body": (415, "Content-Encoding", {"content": GOOD, "headers": {**PNG, "Content-Encoding": "gzip"}}),
    "no JSON": (400, "JSON", {"content": b"{", "headers": JSON}),
    "JSON without images": (400, "images", {"content": b"{}", "headers": JSON}),
    "JSON with an unknown member": (400, "picture", {"content": b'{"images":[],"picture":1}', "headers": JSON}),
    "JSON of another shape": (400, "base64", {"content": b'{"images":[1]}', "headers": JSON}),
    "deeply nested JSON": (400, "JSON", {"content": b'{"images":' + b"[" * 200_000, "headers": JSON}),
    "no images in JSON": (400, "at least one", {"content": b'{"images":[]}', "headers": JSON}),
    "wrong base64": (400, r"images[0]", {"content": b'{"images":["!!"]}', "headers": JSON}),
    "text that is not ASCII for base64": (400, r"images[0]", {"content": '{"images":["é"]}'.encode(), "headers": JSON}),
    "too few references": (400, "1 references for 2", {"content": json.dumps({"images": [B64, B64], "references": [B64]}).encode(), "headers": JSON}),
    "a form without a boundary": (400, "boundary", {"content": GOOD, "headers": {"Content-Type": "multipart/form-data"}}),
    "a form cut short": (400, "multipart", {"content": b"--b\r\nContent-Dis", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}),
    "a form with an unknown field": (400, "picture", form(("picture", "a.png", GOOD))),
    "a form with text for a file": (400, "must be a file", form(("images", None, GOOD))),
    "a form with a part that has no name": (400, "no name", {"content": b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b--\r\n', "headers": {"Content-Type": "multipart/form-data; boundary=b"}}),
    "a form with no image": (400, "at least one", form()),
    "a bad image among good ones": (422, "image 1", form(("images", "a", GOOD), ("images", "b", b"x"))),
    "a reference of another size": (
        422, "reference 0", form(("images", "a", GOOD), ("references", "b", images.encode_png(np.zeros((12, 13, 1), np.uint8)))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_in_the_body_is_a_clear_problem_and_the_service_goes_on(client, fault):
    status, says, request = FAULTS[fault]
    models = {"a reference of another size": "toy-colour", "a 1x1 image": "toy-identity"}
    url = f"/denoise?model={models.get(fault, 'auto')}"
    answer = await client.post(url, **request)
    problem = answer.json()
    assert answer.status_code == status, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in problem["detail"]
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert (await client.post("/denoise", content=GOOD, headers=PNG)).status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("model=toy-identit", 404, "toy-identity"),
        ("model=%00", 404, "GET /models"),
        ("model=toy-identity&version=9", 404, "there is 1"),
        ("version=0", 422, "version"),
        ("version=one", 422, "version"),
        ("simulate=fog:1", 422, "gaussian:0.2"),
        ("simulate=gaussian:0.1&seed=-1", 422, "seed"),
        ("fit=crop", 422, "resize"),
        ("quality=maybe", 422, "quality"),
        ("modle=toy-identity", 422, "did you mean model?"),
        ("x=1", 422, "simulate"),
    ],
)
async def test_a_fault_in_an_option_says_what_would_have_worked(client, query, status, says):
    answer = await client.post(f"/denoise?{query}", content=GOOD, headers=PNG)
    assert answer.status_code == status
    assert says in answer.json()["detail"]


async def test_an_answer_that_cannot_be_given_names_those_that_can(client):
    answer = await client.post("/denoise", content=GOOD, headers={**PNG, "Accept": "text/html"})
    assert answer.status_code == 406
    assert answer.json()["available"] == [
        "image/png", "application/json", "image/webp", "image/jpeg", "application/x-npy",
    ]  # fmt: skip


async def test_one_png_cannot_hold_two_images(client):
    two = form(("images", "a", GOOD), ("images", "b", GOOD))
    two["headers"]["Accept"] = "image/png"
    assert (await client.post("/denoise", **two)).status_code == 406


async def test_references_and_simulate_exclude_each_other(client):
    both = form(("images", "a", GOOD), ("references", "b", GOOD))
    answer = await client.post("/denoise?simulate=gaussian:0.1", **both)
    assert answer.status_code == 400
    assert "references" in answer.json()["detail"]


async def test_a_palette_is_taken_as_the_colours_it_means(client):
    palette = saved(Image.new("RGB", (20, 30), (10, 20, 30)).quantize(4))
    answer = await client.post("/denoise?model=toy-colour", content=palette, headers=PNG)
    assert images.decode(answer.content)[0, 0].tolist() == [10, 20, 30]


async def test_a_bad_image_is_named_by_its_index(client):
    answer = await client.post("/denoise", **form(("images", "a", GOOD), ("images", "b", b"x")))
    assert answer.json()["index"] == 1


async def test_too_many_bytes_pixels_or_images_are_413(settings):
    limits = {"max_body_bytes": 2000, "max_pixels": 300, "max_images": 3}
    async with running(settings(**limits)) as client:

        async def chunks():
            for _ in range(5):
                yield bytes(1000)

        answers = [
            await client.post("/denoise", content=bytes(3000), headers=PNG),
            await client.post("/denoise", content=chunks(), headers=PNG),
            await client.post("/denoise", **form(("images", "a", GOOD), ("images", "b", GOOD), ("images", "c", GOOD))),
            await client.post("/denoise", **form(*[("images", "a", GOOD)] * 4)),
            await client.post("/denoise", **form(*[("images", "a", b"")] * 9)),
        ]  # fmt: skip
        assert [a.status_code for a in answers] == [413] * 5, [a.text for a in answers]
        assert (await client.post("/denoise", content=GOOD, headers=PNG)).status_code == 200


async def test_an_unknown_route_and_a_wrong_method_are_problems_too(client):
    missing = await client.get("/nowhere")
    assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
    wrong = await client.get("/denoise")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "/docs" in wrong.json()["detail"]


async def test_a_fault_of_ours_is_a_500_without_a_trace(client, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the secret of line 42")

    monkeypatch.setattr(client.app.state.catalog, "choose", broken)
    answer = await client.post("/denoise", content=GOOD, headers=PNG)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


async def test_a_fault_of_ours_in_an_ordinary_route_is_a_500_with_each_header_once(
    client, monkeypatch
):
    def broken(*_, **__):
        raise RuntimeError("the secret of line 42")

    monkeypatch.setattr(client.app.state.catalog, "ranking", broken)
    answer = await client.get("/models")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    for name in ("X-Request-ID", "Server-Timing", "X-Content-Type-Options"):
        assert len(answer.headers.get_list(name)) == 1


async def test_no_answer_in_time_is_a_504(settings, monkeypatch):
    import asyncio

    async with running(settings(request_timeout=0.05)) as client:
        served = client.app.state.catalog.get("toy-identity")

        async def stuck(*_, **__):
            await asyncio.sleep(60)

        monkeypatch.setattr(served, "run", stuck)
        answer = await client.post("/denoise?model=toy-identity", content=GOOD, headers=PNG)
    assert answer.status_code == 504
    assert "0.05 s" in answer.json()["detail"]


async def test_a_version_without_a_model_is_refused_and_not_ignored(client):
    answer = await client.post("/denoise?version=99", content=GOOD, headers=PNG)
    assert answer.status_code == 422
    assert "name the model" in answer.json()["detail"]


async def test_resizing_does_not_get_round_the_limit_of_pixels(settings, tmp_path):
    toys.identity(tmp_path, size=64)
    settings = settings(models_dir=tmp_path, max_pixels=10_000)
    async with running(settings) as client:
        dot = images.encode_png(np.zeros((1, 1, 1), np.uint8))
        answer = await client.post("/denoise?fit=resize", **form(*[("images", "a", dot)] * 3))
    assert answer.status_code == 413
    assert "12288 pixels" in answer.json()["detail"]
