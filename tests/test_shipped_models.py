"""Every model under models/: its contract holds, its abilities work, its numbers are true."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from service import corruption, images, latent_map, manifest, noise, quality
from service.admission import admit
from service.latent_map import LatentMap
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted(path.parent for path in ROOT.glob("models/*/*/model.json"))
DATA = ROOT.parent / "shared" / "data"


def named(folder: Path) -> str:
    return folder.parent.name


@pytest.fixture(params=FOLDERS, ids=named)
def admitted(request):
    return admit(request.param, Settings())


def test_there_are_models_to_serve():
    assert {"mnist-mlp-8", "mnist-vae-6", "cifar10-conv-denoise"} <= {named(f) for f in FOLDERS}


def test_the_models_are_small_enough_for_a_repository():
    files = [f for folder in FOLDERS for f in folder.iterdir()]
    assert sum(f.stat().st_size for f in files) < 60e6


def test_digests_signature_and_golden_answer_hold(admitted):
    card, _, _ = admitted
    assert card.provenance.commit
    assert card.provenance.data, "the data it was trained on has digests"
    assert card.scores


def test_its_abilities_work_at_any_batch_size(admitted):
    card, model, golden = admitted
    for count in (1, 3, 17):
        batch = np.repeat(golden.image[None], count, axis=0)
        latents = model.encode(batch).latents
        made = model.decode(latents)
        assert made.shape == batch.shape
        np.testing.assert_array_equal(model.reconstruct(batch), made)
        assert np.abs(made.astype(int) - golden.answer).max() <= golden.tolerance
        if "classify" in card.abilities:
            np.testing.assert_allclose(model.classify(batch).sum(1), 1, atol=1e-4)


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(admitted):
    _, model, golden = admitted
    rng = np.random.default_rng(0)
    others = rng.integers(0, 256, (7, *golden.image.shape), dtype=np.uint8)
    batch = np.concatenate([others[:4], golden.image[None], others[4:]])
    alone = model.reconstruct(golden.image[None])[0]
    np.testing.assert_array_equal(model.reconstruct(batch)[4], alone)


def test_a_model_of_any_size_takes_odd_sizes_and_its_smallest(admitted):
    card, model, _ = admitted
    if card.image.height is not None:
        pytest.skip("fixed size")
    least = card.image.smallest
    for height, width in ((least, least), (33, 57), (100, 41), (7, 1999), (least, 10_001)):
        image = np.full((2, height, width, card.image.channels), 99, np.uint8)
        assert model.reconstruct(image).shape == image.shape


def test_a_denoiser_beats_doing_nothing(admitted):
    card, _, _ = admitted
    rows = [s for s in card.scores if s.task == "denoise" and s.corruption == card.corruption]
    psnr = {s.subject: s.values["psnr"] for s in rows if s.protocol == "served"}
    if card.corruption is None:
        pytest.skip("not trained to denoise")
    assert psnr["model"] > psnr["input"]
    assert "linear" in psnr, "a linear baseline stands beside every denoiser"


def test_images(dataset: str) -> np.ndarray | None:
    """The first 500 test images of a data set, where it is at hand."""
    if dataset == "mnist":
        path = DATA / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
        if path.exists():
            pixels = np.frombuffer(path.read_bytes(), np.uint8, offset=16)
            return pixels.reshape(-1, 28, 28, 1)[:500]
    if dataset == "cifar10" and (DATA / "cifar10.npz").exists():
        return np.load(DATA / "cifar10.npz")["x_test"][:500]
    return None


test_images.__test__ = False


def test_the_manifests_numbers_are_reproduced_on_real_test_images(admitted):
    card, model, _ = admitted
    pictures = test_images(card.dataset)
    if pictures is None:
        pytest.skip("the real data set is not at hand")
    for row in card.scores:
        if row.subject != "model" or row.protocol != "served" or "psnr" not in row.values:
            continue
        taken = pictures
        if row.corruption:
            taken = corruption.parse(row.corruption)(pictures, np.random.default_rng(0))
        psnr = quality.measure(model.reconstruct(taken), pictures).psnr
        # 500 of 10,000 images: the mean is known to a few standard errors.
        assert abs(psnr.mean() - row.values["psnr"]) < 5 * psnr.std() / np.sqrt(len(psnr))


def test_noise_that_it_learned_is_usual_to_it_and_single_wrong_pixels_are_not(admitted):
    card, model, golden = admitted
    percentiles = card.noise_kurtosis_percentiles
    if percentiles is None:
        pytest.skip("it does not say")
    rng = np.random.default_rng(0)
    noisy = corruption.parse("gaussian:0.06")(golden.image[None], rng)
    wrong = np.where(rng.random(golden.image.shape) < 0.03, 255, golden.image)[None]
    usual, odd = (
        noise.measure(sent[0], model.reconstruct(sent)[0]).kurtosis
        for sent in (noisy, wrong.astype(np.uint8))
    )
    assert percentiles[0] - 0.3 < usual < percentiles[98]
    assert odd > percentiles[100] + 2


def test_the_golden_image_is_a_readable_png(admitted):
    card, _, _ = admitted
    assert images.decode(base64.b64decode(card.golden.image)).ndim == 3


def test_a_manifest_lists_every_file_of_its_folder():
    for folder in FOLDERS:
        card = manifest.read(folder)
        assert {p.name for p in folder.iterdir()} == {*card.files, manifest.FILE}


def test_a_model_with_few_latents_and_classes_has_a_small_map_of_its_own_test_latents():
    mapped = [folder for folder in FOLDERS if (folder / latent_map.FILE).exists()]
    assert {"mnist-vae-6", "mnist-deep-2", "mnist5-mlp-64"} <= {named(f) for f in mapped}
    for folder in mapped:
        text = (folder / latent_map.FILE).read_bytes()
        assert len(text) < 150_000
        drawn = LatentMap.model_validate_json(text)
        latents = drawn.latents.numbers()
        assert latents.shape[1] == np.prod(manifest.read(folder).latent_shape)
        for table in drawn.tsne.values():
            assert len(table.numbers()) == len(latents) == len(base64.b64decode(drawn.labels))
