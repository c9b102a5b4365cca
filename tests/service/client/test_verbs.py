"""`service.client`: every verb, with both clients, on known toys."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
from PIL import Image

import service.client
from service import quality
from service.app import create_app
from service.client import AsyncClient, Client, NotFound
from service.settings import Settings
from tests import toys
from tests.listening import listening
from tests.service.client.pictures import COLOUR, GREYS, RNG, TALL, picture, png, same

pytestmark = pytest.mark.anyio


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
