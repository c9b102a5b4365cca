"""The catalog admits what keeps its promises, and picks the best that fits."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from service import images, manifest
from service.catalog import Catalog
from service.errors import AbilityMissing, DeviceError, ManifestError, NotFound, Unprocessable
from service.settings import Settings
from tests import toys


def loaded(models: Path) -> Catalog:
    catalog = Catalog(Settings(models_dir=models))
    catalog.load()
    return catalog


def republish(folder: Path, **changes) -> None:
    """Changes the manifest and the digests with it: a fault that no digest shows."""
    path = folder / manifest.FILE
    card = {**json.loads(path.read_text()), **changes}
    card["files"] = {name: manifest.digest(folder / name) for name in card["files"]}
    path.write_text(json.dumps(card))


def test_every_model_in_the_folder_is_served(toy_models):
    names = [served.manifest.key for served in loaded(toy_models)]
    assert names == ["toy-colour/1", "toy-identity/1", "toy-vae/1"]


def test_a_changed_file_is_refused_with_its_reason_and_the_others_are_served(tmp_path):
    toys.identity(tmp_path, "good")
    bad = toys.identity(tmp_path, "bad")
    (bad / "decoder.onnx").write_bytes(b"")
    catalog = loaded(tmp_path)
    assert [served.manifest.name for served in catalog] == ["good"]
    assert "decoder.onnx has changed" in catalog.refused["bad/1"]


def test_a_graph_that_does_not_open_is_refused_though_its_digest_holds(tmp_path):
    toys.identity(tmp_path, "good")
    bad = toys.identity(tmp_path, "bad")
    (bad / "decoder.onnx").write_bytes(b"not onnx")
    republish(bad)
    assert "do not open" in loaded(tmp_path).refused["bad/1"]


def test_a_model_whose_golden_answer_changed_is_refused(tmp_path):
    toys.identity(tmp_path, "good")
    bad = toys.identity(tmp_path, "bad", add=20)
    plain = toys.identity(tmp_path, "plain")
    golden = json.loads((plain / manifest.FILE).read_text())["golden"]
    republish(bad, golden=golden)
    assert "golden" in loaded(tmp_path).refused["bad/1"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"latent_shape": [7]}, "latents"),
        ({"variational": True}, "log_variances"),
        ({"image": {"height": 12, "width": 12, "channels": 3}}, "images"),
        ({"abilities": ["classify"]}, "classifier"),
        ({"abilities": ["sample"]}, "variational"),
    ],
)
def test_a_manifest_that_its_graphs_do_not_bear_out_is_refused(tmp_path, changes, says):
    toys.identity(tmp_path, "good")
    republish(toys.identity(tmp_path, "bad"), **changes)
    assert says in loaded(tmp_path).refused["bad/1"]


def test_a_folder_with_no_model_at_all_is_an_error_at_start(tmp_path):
    with pytest.raises(ManifestError, match="no model to serve"):
        loaded(tmp_path)


def test_cuda_that_is_not_there_is_an_error_at_start(toy_models):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this environment has CUDA")
    with pytest.raises(DeviceError, match="AUTOENCODER_DEVICE=cpu"):
        Catalog(Settings(models_dir=toy_models, device="cuda")).load()


def test_the_highest_version_answers_unless_another_is_asked_for(tmp_path):
    toys.identity(tmp_path, "toy", version=2)
    toys.identity(tmp_path, "toy", version=10)
    catalog = loaded(tmp_path)
    assert catalog.get("toy").manifest.version == 10
    assert catalog.get("toy", 2).manifest.version == 2
    with pytest.raises(NotFound, match="there is 2, 10"):
        catalog.get("toy", 3)


def test_an_unknown_name_gets_close_matches(toy_models):
    with pytest.raises(NotFound, match="did you mean toy-identity"):
        loaded(toy_models).get("TOY_Identity")
    with pytest.raises(NotFound, match="did you mean toy-identity"):
        loaded(toy_models).get("toy-identify")


def test_auto_takes_the_best_that_fits_by_size_then_channels(tmp_path):
    toys.identity(tmp_path, "grey-poor", psnr=20)
    toys.identity(tmp_path, "grey-best", psnr=30)
    toys.identity(tmp_path, "colour", channels=3, psnr=40)
    toys.identity(tmp_path, "any", size=None, channels=3, psnr=50)
    catalog = loaded(tmp_path)

    def chosen(*shape: int) -> str:
        return catalog.choose("reconstruct", shapes=[shape]).manifest.name

    assert chosen(12, 12, 1) == "grey-best"
    assert chosen(12, 12, 3) == "colour"
    assert chosen(40, 40, 3) == "any"
    assert chosen(40, 40, 1) == "any"


def test_images_that_no_one_model_takes_together_are_all_named(tmp_path):
    toys.identity(tmp_path, "grey")
    catalog = loaded(tmp_path)
    with pytest.raises(Unprocessable, match="12x12 and 40x13 images together"):
        catalog.choose("reconstruct", shapes=[(12, 12, 1), (13, 40, 1), (12, 12, 1)])


def test_to_denoise_one_that_learned_to_comes_before_one_that_did_not(tmp_path):
    toys.identity(tmp_path, "plain", psnr=30)
    toys.identity(tmp_path, "denoiser", psnr=25, corruption="gaussian:0.2")
    catalog = loaded(tmp_path)
    assert catalog.choose("denoise", shapes=[(12, 12, 1)]).manifest.name == "denoiser"
    assert catalog.choose("encode", shapes=[(12, 12, 1)]).manifest.name == "plain"


def test_an_occlusion_is_undone_by_one_that_learned_to_and_noise_by_none_such(tmp_path):
    toys.identity(tmp_path, "plain", psnr=40)
    toys.identity(tmp_path, "filler", psnr=30, corruption="occlusion:9")
    toys.identity(tmp_path, "denoiser", psnr=25, corruption="gaussian:0.2")
    catalog, sent = loaded(tmp_path), [(12, 12, 1)]
    chosen = [
        catalog.choose("denoise", shapes=sent, undoing=damage).manifest.name
        for damage in ("gaussian", "occlusion", "gaussian")
    ]
    assert chosen == ["denoiser", "filler", "denoiser"]
    names = [served.manifest.name for served in catalog.ranking("denoise")]
    assert names == ["denoiser", "filler", "plain"]


def test_one_proven_on_more_test_images_comes_before_one_proven_on_fewer(tmp_path):
    folders = [toys.identity(tmp_path, "few", psnr=30), toys.identity(tmp_path, "many", psnr=25)]
    for folder, count in zip(folders, (3795, 10_000), strict=True):
        scores = json.loads((folder / manifest.FILE).read_text())["scores"]
        republish(folder, scores=[{**score, "images": count} for score in scores])
    assert [s.manifest.name for s in loaded(tmp_path).ranking("encode")] == ["many", "few"]


def test_to_classify_the_one_that_is_right_more_often_comes_first(tmp_path):
    blurred = toys.variational(tmp_path, "blurred", classes=("0", "1"))
    sharp = toys.variational(tmp_path, "sharp", classes=("0", "1"))
    for folder, psnr, accuracy in ((blurred, 20, 0.99), (sharp, 30, 0.97)):
        score = json.loads((folder / manifest.FILE).read_text())["scores"][0]
        score |= {"values": {"psnr": psnr}, "images": 3795}
        right = score | {"task": "classify", "values": {"accuracy": accuracy}}
        republish(folder, scores=[score, right])
    catalog = loaded(tmp_path)
    assert [s.manifest.name for s in catalog.ranking("classify")] == ["blurred", "sharp"]
    assert [s.manifest.name for s in catalog.ranking("encode")] == ["sharp", "blurred"]


def test_of_models_for_any_size_auto_takes_one_tested_at_about_this_size(tmp_path):
    digits = toys.identity(tmp_path, "digits", size=None, psnr=30, corruption="gaussian:0.2")
    photos = toys.identity(tmp_path, "photos", size=None, psnr=25, corruption="gaussian:0.1")
    golden = images.encode_png(np.zeros((96, 128, 1), np.uint8))
    text = base64.b64encode(golden).decode()
    republish(photos, golden={"image": text, "reconstruction": text})
    catalog = loaded(tmp_path)
    assert manifest.read(digits).golden.image != text

    def chosen(*shape: int) -> str:
        return catalog.choose("denoise", shapes=[shape]).manifest.name

    assert chosen(16, 16, 1) == chosen(28, 28, 1) == "digits"
    assert chosen(3000, 4000, 1) == chosen(96, 96, 1) == "photos"


def test_to_reconstruct_one_with_a_bottleneck_comes_before_one_without(tmp_path):
    toys.identity(tmp_path, "whole", psnr=40, abilities=("denoise", "reconstruct"))
    toys.identity(tmp_path, "narrow", psnr=20)
    assert [s.manifest.name for s in loaded(tmp_path).ranking("reconstruct")] == ["narrow", "whole"]


def test_no_model_for_a_size_says_which_sizes_there_are(tmp_path):
    toys.identity(tmp_path)
    catalog = loaded(tmp_path)
    with pytest.raises(Unprocessable, match="12x12 grey, or ask for fit=resize"):
        catalog.choose("denoise", shapes=[(40, 30, 1)])
    assert catalog.choose("denoise", shapes=[(40, 30, 1)], resizable=True)


def test_a_model_without_the_ability_is_refused_and_says_what_it_can(toy_models):
    with pytest.raises(AbilityMissing, match="it can denoise, reconstruct") as refusal:
        loaded(toy_models).choose("sample", name="toy-identity")
    assert refusal.value.extra["models"] == ["toy-vae"]


def test_a_sampler_whose_signature_is_another_is_refused(tmp_path):
    toys.identity(tmp_path, "good")
    bad = toys.variational(tmp_path, "bad", mixture=True)
    (bad / "sampler.onnx").write_bytes((bad / "decoder.onnx").read_bytes())
    republish(bad)
    assert "sampler.onnx takes" in loaded(tmp_path).refused["bad/1"]


def test_a_model_that_is_not_variational_samples_with_a_fitted_mixture(tmp_path):
    toys.variational(tmp_path, prior=False, mixture=True)
    served = loaded(tmp_path).choose("sample")
    assert served.manifest.priors == ("mixture",)


@pytest.mark.anyio
async def test_what_auto_chose_is_forgotten_when_the_models_change(tmp_path):
    toys.identity(tmp_path, "good", psnr=30.0)
    catalog = loaded(tmp_path)
    small = {"shapes": [(12, 12, 1)]}
    assert catalog.choose("denoise", **small).manifest.name == "good"
    toys.identity(tmp_path, "better", psnr=40.0)
    assert catalog.choose("denoise", **small).manifest.name == "good"
    await catalog.reload("better")
    assert catalog.choose("denoise", **small).manifest.name == "better"
    await catalog.unload("better")
    assert catalog.choose("denoise", **small).manifest.name == "good"
    catalog.close()
