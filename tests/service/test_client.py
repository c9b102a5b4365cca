"""`service.client`: every verb and every kind of picture, with both clients, on known toys."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
from PIL import Image

import service.client
from service import images, quality
from service.app import create_app
from service.client import AsyncClient, Client, Limits, NotFound, Unprocessable
from service.settings import Settings
from tests import toys
from tests.listening import listening

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (5, 12, 12, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
TALL = RNG.integers(0, 256, (30, 20, 3), np.uint8)

Call = Callable[..., Awaitable]


@pytest.fixture(scope="module")
def url(zoo_models) -> Iterator[str]:
    # Limits of the server's that are lower than the client's: a long list must still go through.
    settings = Settings(models_dir=zoo_models, max_images=4, max_pixels=4 * 600)
    with listening(create_app(settings)) as url:
        yield url


@pytest.fixture(params=["sync", "async"])
async def call(request, url, anyio_backend) -> AsyncIterator[Call]:
    """Calls a verb of either client by its name."""
    if request.param == "sync":
        with Client(url) as client:
            yield lambda verb, *args, **options: anyio.to_thread.run_sync(
                partial(getattr(client, verb), *args, **options)
            )
    else:
        async with AsyncClient(url) as client:
            yield lambda verb, *args, **options: getattr(client, verb)(*args, **options)


def same(made, expected) -> None:
    assert len(made) == len(expected)
    for found, image in zip(made, expected, strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, image)


def picture(folder: Path, image: np.ndarray, kind: str = "png") -> Path:
    path = folder / f"{abs(hash(image.tobytes()))}.{kind}"
    Image.fromarray(image.squeeze()).save(path)
    return path


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


async def test_denoise_with_references_scores_before_and_after(call):
    noisy = GREYS // 2
    scores = (await call("denoise", noisy, references=GREYS, model="toy-identity")).quality
    expected = quality.measure(noisy, GREYS)
    assert vars(scores.after.mean) == pytest.approx(expected.mean())
    assert [row.ssim for row in scores.before.per_image] == pytest.approx(list(expected.ssim))
    assert scores.gain_db == 0, "the identity gains nothing"


async def test_ssim_is_none_where_an_image_is_too_small_for_it(call):
    tiny = RNG.integers(0, 256, (3, 5, 5, 3), np.uint8)
    scores = (await call("denoise", tiny, references=tiny, model="toy-colour")).quality.after
    assert scores.mean.ssim is scores.per_image[0].ssim is None
    assert scores.mean.psnr == 100
    mixed = [*tiny, COLOUR]
    assert (await call("reconstruct", mixed, model="toy-colour")).quality.mean.ssim is None


async def test_simulate_gives_what_was_denoised_and_the_seed_that_repeats_it(call):
    first = await call("denoise", GREYS, simulate="gaussian:0.2", model="toy-identity")
    again = await call(
        "denoise", GREYS, simulate="gaussian:0.2", seed=first.seed, model="toy-identity"
    )
    same(again.noisy, first.noisy)
    same(first, first.noisy)
    assert len({image.tobytes() for image in first.noisy}) == len(GREYS)
    expected = quality.measure(np.stack(first.noisy), GREYS)
    assert first.quality.before.mean.psnr == pytest.approx(expected.mean()["psnr"])
    assert len(first.quality.after.per_image) == len(GREYS), "over both requests"


async def test_reconstruct_scores_and_says_how_unusual_each_image_is(call):
    made = await call("reconstruct", GREYS, model="toy-identity")
    same(made, GREYS)
    assert made.quality.mean.psnr == 100
    assert made.quality.anomaly_percentile == (0,) * len(GREYS)
    plain = await call("reconstruct", GREYS, model="toy-identity", quality=False)
    same(plain, GREYS)
    assert plain.quality is None


async def test_encode_then_decode_is_reconstruct(call):
    latents = await call("encode", GREYS, model="toy-vae")
    assert [row.shape for row in latents.latents] == [(2,)] * len(GREYS)
    assert [row.dtype for row in latents.log_variances] == [np.float32] * len(GREYS)
    decoded = await call("decode", latents)
    assert decoded.model == latents.model
    same(decoded, (await call("reconstruct", GREYS, model="toy-vae")).images)
    raw = await call("encode", GREYS, model="toy-vae", log_variances=False)
    assert raw.log_variances is None
    same(await call("decode", np.stack(raw.latents), model="toy-vae"), decoded.images)


async def test_latents_of_several_shapes_are_decoded_in_their_order(call):
    latents = await call("encode", [COLOUR, TALL, COLOUR], model="toy-colour")
    assert latents.log_variances is None, "not a variational model"
    same(await call("decode", latents), [COLOUR, TALL, COLOUR])


async def test_interpolate_goes_from_one_to_the_other(call, tmp_path):
    dark, bright = np.zeros((12, 12), np.uint8), np.full((12, 12), 200, np.uint8)
    made = await call("interpolate", dark, picture(tmp_path, bright), steps=3, model="toy-identity")
    same(made, [np.full((12, 12, 1), grey, np.uint8) for grey in (0, 100, 200)])
    round_ = await call("interpolate", dark, bright, steps=4, path="spherical", model="toy-vae")
    assert len(round_) == 4


async def test_sample_names_its_seed_and_repeats_itself(call):
    first = await call("sample", 4, model="toy-mixture", prior="mixture")
    same(await call("sample", 4, model="toy-mixture", seed=first.seed), first.images)
    assert first.prior == "mixture"
    mean = await call("sample", 2, temperature=0, model="toy-vae")
    same(mean, np.full((2, 12, 12, 1), 100, np.uint8))


async def test_classify_gives_labels_and_probabilities(call):
    greys = [np.full((12, 12), grey, np.uint8) for grey in (90, 110, 100, 95, 105)]
    found = await call("classify", greys)
    assert found.classes == ("dark", "bright")
    assert found.labels == ("dark", "bright", "dark", "dark", "bright")
    assert found.probabilities.shape == (5, 2)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)


async def test_models_and_cards_are_typed(call):
    served = await call("models")
    assert [m.name for m in served] == ["toy-colour", "toy-identity", "toy-mixture", "toy-vae"]
    assert served.ranking["classify"] == ("toy-mixture",)
    assert served.models[1].scores[0].values["psnr"] == 20
    card = await call("model", "toy-vae")
    assert card.manifest.latent_shape == (2,)
    assert card.versions == (1,)
    assert (await call("model", "toy-vae/1")).manifest == card.manifest
    with pytest.raises(NotFound, match="no version 9"):
        await call("model", "toy-vae/9")
    with pytest.raises(NotFound, match="did you mean toy-vae"):
        await call("model", "toy-va")


async def test_a_live_and_ready_service_says_so(call):
    assert await call("live") is True
    ready = await call("ready")
    assert ready
    assert ready.models["toy-vae/1"] == "ok"


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


def test_both_clients_have_the_same_verbs_with_the_same_words():
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name in {"__init__", "__enter__", "__exit__", "close", "_run"}:
            continue
        twin = getattr(AsyncClient, name)
        assert inspect.iscoroutinefunction(twin)
        assert inspect.signature(method) == inspect.signature(twin)
        assert method.__doc__ == twin.__doc__


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch, url):
    toys.variational(tmp_path / "models", "mnist-vae-6")
    toys.identity(tmp_path / "models")
    lines = inspect.cleandoc(service.client.__doc__).splitlines()
    code = "\n".join(line[4:] for line in lines if line.startswith("    "))
    monkeypatch.chdir(tmp_path)
    Path("noisy").mkdir()
    for path, grey in zip(("noisy/1.png", "noisy/2.png", "a.png", "b.png"), GREYS, strict=False):
        Image.fromarray(grey.squeeze()).save(path)
    with listening(create_app(Settings(models_dir=tmp_path / "models"))) as url:
        exec(code.replace("http://127.0.0.1:8000", url), {"array": GREYS})
    assert Path("walk.gif").exists()
    assert Path("clean/0001.png").exists()


def test_without_httpx_the_client_says_what_to_install():
    code = "import sys; sys.modules['httpx'] = None; import service.client"
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install '.[client]' in the project's checkout" in outcome.stderr


async def test_a_program_that_only_calls_needs_no_runtime_and_no_server():
    code = (
        "import sys\n"
        "for name in ('onnxruntime', 'fastapi', 'uvicorn'): sys.modules[name] = None\n"
        "import service.client.commands, service.cli"
    )
    await anyio.run_process([sys.executable, "-c", code])


async def test_an_application_is_called_without_a_socket(zoo):
    transport = httpx.ASGITransport(zoo.app)
    async with AsyncClient("http://here", transport=transport) as client:
        same(await client.denoise(png(GREYS[0])), GREYS[:1])


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()
