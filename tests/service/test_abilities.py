"""A model without a bottleneck denoises and reconstructs, and says so to whoever wants more."""

from __future__ import annotations

import numpy as np
import pytest

from service import images
from service.app import create_app
from service.cli import main
from service.client import AbilityMissing, Client
from service.settings import Settings
from tests import toys
from tests.conftest import running
from tests.listening import listening
from tests.service.test_denoise_and_reconstruct import PNG, files

pytestmark = pytest.mark.anyio

GREY = np.random.default_rng(0).integers(0, 256, (20, 30, 1), dtype=np.uint8)
BODY = {"content": images.encode_png(GREY), "headers": PNG}
REFUSED = {
    "encode": BODY,
    "classify": BODY,
    "interpolate": {"files": files(GREY, GREY)},
    "decode": {"json": {"latents": [[1.0, 2.0]]}},
    "sample": {},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    toys.identity(
        folder, "toy-skips", size=None, channelwise=True, abilities=("denoise", "reconstruct")
    )
    toys.identity(folder, "toy-narrow")
    return folder


@pytest.mark.parametrize("verb", REFUSED)
async def test_a_route_that_needs_latents_says_that_it_has_none(settings, models, verb):
    async with running(settings(models_dir=models)) as client:
        answer = await client.post(f"/{verb}?model=toy-skips", **REFUSED[verb])
    assert answer.status_code == 409
    problem = answer.json()
    assert "no bottleneck" in problem["detail"]
    assert "it can denoise, reconstruct" in problem["detail"]
    assert problem["abilities"] == ["denoise", "reconstruct"]
    assert problem["models"] == (["toy-narrow"] if verb not in ("sample", "classify") else [])


async def test_auto_passes_it_by_and_the_lists_do_not_promise_it(settings, models):
    async with running(settings(models_dir=models)) as client:
        answer = await client.post("/encode", **BODY)
        assert answer.status_code == 422, "the one that can takes another size"
        ranking = (await client.get("/models")).json()["ranking"]
        assert "toy-skips" in ranking["denoise"]
        assert "toy-skips" not in ranking["encode"]
        for part in ("encoder", "decoder", "classifier"):
            answer = await client.get(f"/v2/models/toy-skips.{part}")
            assert answer.status_code == 404
        assert (await client.get("/v2/models/toy-skips")).status_code == 200


def test_the_client_and_the_shell_say_it_too(models, tmp_path, monkeypatch):
    picture = tmp_path / "grey.png"
    picture.write_bytes(images.encode_png(GREY))
    with listening(create_app(Settings(models_dir=models))) as url:
        with Client(url) as client, pytest.raises(AbilityMissing, match="no bottleneck"):
            client.encode(GREY, model="toy-skips")
        arguments = ["encode", str(picture), "--model", "toy-skips", "--url", url]
        monkeypatch.setattr(
            "sys.argv", ["autoencoder", *arguments, "--out", str(tmp_path / "latents.npy")]
        )
        with pytest.raises(SystemExit) as end:
            main()
    assert "no bottleneck" in str(end.value.code)
