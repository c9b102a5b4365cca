"""The promises of the API on every model that is shipped, not on toys: to the byte."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from service import images, npy
from service.manifest import Manifest
from service.settings import Settings
from tests.conftest import running
from tests.service.test_denoise_and_reconstruct import PNG, b64, png

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
CARDS = [
    Manifest.model_validate_json(path.read_bytes())
    for path in sorted(ROOT.glob("models/*/*/model.json"))
    if not path.parents[1].name.startswith(".")
]
NPY = {"Content-Type": "application/x-npy"}


@pytest.fixture(params=CARDS, ids=lambda card: card.key)
def card(request) -> Manifest:
    return request.param


@pytest.fixture
async def shipped(card, tmp_path, anyio_backend):
    """A client of a service of that one model."""
    folder = tmp_path / card.name
    folder.mkdir()
    (folder / str(card.version)).symlink_to(ROOT / "models" / card.key)
    async with running(Settings(models_dir=tmp_path)) as client:
        yield client


def some(card: Manifest, count: int = 5) -> np.ndarray:
    """Smooth images with a little noise: nearer to pictures than noise alone."""
    rng = np.random.default_rng(0)
    height, width = card.image.height or 40, card.image.width or 33
    coarse = rng.integers(0, 256, (count, 4, 4, card.image.channels), dtype=np.uint8)
    smooth = [images.resize(image, height, width) for image in coarse]
    noise = rng.integers(0, 20, (count, height, width, card.image.channels), dtype=np.uint8)
    return np.stack(smooth) // 2 + noise


def loaded(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


async def test_encode_then_decode_equals_reconstruct(shipped, card):
    if not {"encode", "decode"} <= set(card.abilities):
        pytest.skip("its latents alone do not make its images")
    batch = npy.write(some(card))
    straight = loaded(await shipped.post("/reconstruct", content=batch, headers=NPY))
    encoded = await shipped.post("/encode", content=batch, headers=NPY)
    decoded = await shipped.post("/decode", content=encoded.content, headers=NPY)
    np.testing.assert_array_equal(loaded(decoded), straight)
    in_json = (
        await shipped.post("/encode", content=batch, headers={**NPY, "Accept": "application/json"})
    ).json()
    assert (in_json["log_variances"] is not None) == card.variational
    body = json.dumps({"latents": in_json["latents"]})
    headers = {"Content-Type": "application/json", "Accept": "application/x-npy"}
    decoded = await shipped.post("/decode", content=body, headers=headers)
    np.testing.assert_array_equal(loaded(decoded), straight)


@pytest.mark.parametrize("path", ["linear", "spherical"])
async def test_the_ends_of_an_interpolation_are_the_reconstructions(shipped, card, path):
    if "interpolate" not in card.abilities:
        pytest.skip("it does not interpolate")
    sent = {"images": [b64(image) for image in some(card, 2)]}
    ends = (await shipped.post("/reconstruct", json=sent)).json()["images"]
    made = (await shipped.post(f"/interpolate?path={path}&steps=9", json=sent)).json()["images"]
    assert len(made) == 9
    assert [made[0], made[-1]] == ends


async def test_a_batch_equals_its_images_one_by_one(shipped, card):
    batch = some(card)
    for route in ("reconstruct", "denoise"):
        if route not in card.abilities:
            continue
        url = f"/{route}?quality=false"
        together = loaded(await shipped.post(url, content=npy.write(batch), headers=NPY))
        for image, expected in zip(batch, together, strict=True):
            alone = await shipped.post(url, content=png(image), headers=PNG)
            assert alone.content == images.encode_png(expected)


async def test_a_seed_gives_the_same_samples_for_every_prior_that_it_has(shipped, card):
    if "sample" not in card.abilities:
        pytest.skip("it does not sample")
    headers = {"Accept": "application/x-npy"}
    for prior in card.priors:
        url = f"/sample?seed=1&prior={prior}&count="
        many, few = [loaded(await shipped.post(f"{url}{n}", headers=headers)) for n in (20, 7)]
        np.testing.assert_array_equal(many[:7], few)
        assert many.std() > 0


async def test_the_probabilities_of_the_classes_add_up_to_one(shipped, card):
    if "classify" not in card.abilities:
        pytest.skip("it has no classes")
    body = (await shipped.post("/classify", json={"images": [b64(i) for i in some(card)]})).json()
    for prediction in body["predictions"]:
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert prediction["label"] in card.classes
