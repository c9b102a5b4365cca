from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import manifest, quality
from service.manifest import Manifest
from service.model import Model
from training import linear, pca
from training.classify import CLASSIFIERS, classify
from training.cli import main
from training.corruption import Gaussian, GaussianUpTo
from training.data import Dataset
from training.loop import train
from training.networks import Pca, SkipNet, Valid
from training.publish import publish
from training.recipes import Recipe
from training.schedules import Adam


@pytest.fixture(scope="module")
def published(
    recipe: Recipe, grey: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Manifest, Path]:
    recipe = replace(recipe, corruption=Gaussian(0.1))
    runs = {seed: train(recipe, grey, seed=seed) for seed in (0, 1, 2)}
    folder = publish(recipe, runs, grey, tmp_path_factory.mktemp("models"))
    return manifest.read(folder), folder


def row(read: Manifest, subject: str, task: str, protocol: str = "served") -> dict[str, float]:
    rows = [s for s in read.scores
            if (s.subject, s.task, s.protocol) == (subject, task, protocol)]  # fmt: skip
    assert len(rows) == 1
    return rows[0].values


def test_a_published_model_is_read_back_by_the_service(published: tuple[Manifest, Path]) -> None:
    read, folder = published
    assert folder.name == "1"
    assert read.abilities == ("denoise", "reconstruct", "encode", "decode", "interpolate", "sample")
    assert read.latent_shape == (4,)
    assert read.corruption == "gaussian:0.1"
    assert "Mlp((24, 4), latent='linear')" in read.recipe
    assert not list(folder.parent.parent.glob(".*")), "nothing but the model is left"


def test_the_manifests_scores_are_those_of_the_graphs(
    published: tuple[Manifest, Path], grey: Dataset
) -> None:
    read, folder = published
    clean = grey.test.pixels.numpy()
    found = quality.measure(Model.open(folder).reconstruct(clean), clean)
    assert row(read, "model", "reconstruct")["mse"] == pytest.approx(found.mse.mean(), abs=1e-6)
    np.testing.assert_allclose(
        [read.error_percentiles[i] for i in (0, 50, 100)],
        np.percentile(found.mse, [0, 50, 100]),
    )
    assert {row(read, s, "denoise")["mse"] for s in ("input", "linear", "model")}


def test_the_report_row_has_the_mean_and_spread_of_the_seeds(
    published: tuple[Manifest, Path],
) -> None:
    read, _ = published
    (score,) = [s for s in read.scores if s.protocol == "report"]
    assert score.seeds == 3
    assert score.spread["mse"] > 0


def test_the_golden_answer_is_what_the_graphs_say(published: tuple[Manifest, Path]) -> None:
    read, folder = published
    image, answer = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))[None, :, :, None]
        for text in (read.golden.image, read.golden.reconstruction)
    )
    np.testing.assert_array_equal(Model.open(folder).reconstruct(image), answer)


def test_a_network_of_any_size_says_so_in_its_manifest(
    recipe: Recipe, colour: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, net=Valid((8, 8)), corruption=Gaussian(0.05), epochs=1)
    folder = publish(recipe, {0: train(recipe, colour)}, colour, tmp_path)
    read = manifest.read(folder)
    assert (read.image.height, read.image.width, read.image.smallest) == (None, None, 5)
    assert read.latent_shape == (8, None, None)
    assert read.abilities == ("denoise", "reconstruct", "encode", "decode")


def test_pca_is_trained_in_closed_form_and_is_no_worse_than_its_own_baseline(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, net=Pca(3), epochs=0)
    read = manifest.read(publish(recipe, {0: train(recipe, grey)}, grey, tmp_path))
    ours, baseline = (row(read, s, "reconstruct")["mse"] for s in ("model", "pca"))
    assert ours == pytest.approx(baseline, rel=1e-3)


def test_a_network_with_skips_promises_no_latents(
    recipe: Recipe, colour: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, net=SkipNet(8), corruption=GaussianUpTo(0, 0.2, 0.1), epochs=1)
    recipe = replace(recipe, bf16=True)
    read = manifest.read(publish(recipe, {0: train(recipe, colour)}, colour, tmp_path))
    assert read.abilities == ("denoise", "reconstruct")
    assert read.corruption == "gaussian:0.1"


def test_a_classifier_is_published_with_its_model(
    recipe: Recipe, grey: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(recipe, epochs=30, optimiser=Adam(1e-2))
    publish(recipe, {0: train(recipe, grey)}, grey, tmp_path)
    monkeypatch.setattr("training.recipes.named", lambda name: recipe)
    folder = classify(recipe.name, tmp_path, grey, [0, 1], ["A1", "GELU"])
    read = manifest.read(folder)
    assert read.abilities[-1] == "classify"
    assert read.classes == ("a", "b", "c")
    accuracy = row(read, "model", "classify")["accuracy"]
    told = Model.open(folder).classify(grey.test.pixels.numpy())
    np.testing.assert_allclose(told.sum(1), 1, rtol=1e-5)
    assert accuracy == pytest.approx((told.argmax(1) == grey.test.labels.numpy()).mean())
    assert accuracy > 0.8
    assert {s.note: s.seeds for s in read.scores if s.protocol == "report"
            and s.task == "classify"} == {"classifier A1": 2, "classifier GELU": 2}  # fmt: skip


def test_a_classifier_that_is_not_asked_for_keeps_its_row_and_its_place_if_it_is_better(
    recipe: Recipe, grey: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(recipe, epochs=30, optimiser=Adam(1e-2))
    publish(recipe, {0: train(recipe, grey)}, grey, tmp_path)
    monkeypatch.setattr("training.recipes.named", lambda name: recipe)
    untaught, taught = (
        [replace(kind, epochs=epochs, lr=lr) for kind in CLASSIFIERS]
        for epochs, lr in ((1, 1e-9), (30, 3e-3))
    )
    notes = ["classifier A1", "classifier GELU"]
    for first, second, best in ((taught, untaught, "GELU"), (untaught, taught, "A1")):
        monkeypatch.setattr("training.classify.CLASSIFIERS", first)
        before = manifest.read(classify(recipe.name, tmp_path, grey, [0], ["GELU"]))
        monkeypatch.setattr("training.classify.CLASSIFIERS", second)
        after = manifest.read(classify(recipe.name, tmp_path, grey, [0, 1], ["A1"]))
        rows = [s for s in after.scores if s.task == "classify"]
        assert {s.note: s.seeds for s in rows if s.protocol == "report"} == dict(
            zip(notes, (2, 1), strict=True)
        )
        (served,) = (s for s in rows if s.protocol == "served")
        assert served.note == f"classifier {best}"
        same = before.files["classifier.onnx"] == after.files["classifier.onnx"]
        assert same == (best == "GELU")


def test_publishing_again_keeps_the_classifier_of_the_same_latents_only(
    recipe: Recipe, grey: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(recipe, epochs=1)
    first, other = (train(recipe, grey, seed=seed) for seed in (0, 1))
    publish(recipe, {0: first}, grey, tmp_path)
    monkeypatch.setattr("training.recipes.named", lambda name: recipe)
    classified = manifest.read(classify(recipe.name, tmp_path, grey, [0], ["A1"]))
    again = publish(recipe, {0: first}, grey, tmp_path)
    kept = manifest.read(again)
    assert (kept.abilities, kept.classes) == (classified.abilities, classified.classes)
    assert kept.files["classifier.onnx"] == classified.files["classifier.onnx"]
    assert row(kept, "model", "classify") == row(classified, "model", "classify")
    assert Model.open(again).classify(grey.test.pixels[:2].numpy()).shape == (2, 3)
    assert "classify" not in manifest.read(publish(recipe, {1: other}, grey, tmp_path)).abilities


def test_samples_of_a_plain_autoencoder_are_like_its_training_images(
    published: tuple[Manifest, Path], grey: Dataset
) -> None:
    _, folder = published
    model = Model.open(folder)
    rng = np.random.default_rng(0)
    latents = model.sample(
        rng.standard_normal((500, 4), dtype=np.float32), rng.random(500, dtype=np.float32)
    )
    real = model.encode(grey.train.pixels.numpy()).latents
    np.testing.assert_allclose(latents.mean(0), real.mean(0), atol=0.3 * real.std())


def test_pca_agrees_with_numpys_svd(grey: Dataset) -> None:
    flat = grey.train.batch(slice(None)).flatten(1).double().numpy()
    components = pca.fit(grey.train, 3)
    _, _, vectors = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    overlap = np.abs(components.directions.numpy() @ vectors[:3].T)
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-6)


def test_the_linear_filter_beats_doing_nothing_on_smooth_pictures() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:24, 0:24]
    phase = rng.uniform(0, 6, (60, 1, 1))
    clean = (128 + 80 * np.sin(x / 4 + y / 6 + phase))[..., None].astype(np.uint8)
    noisy = np.clip(clean + rng.normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
    answer = linear.fit(noisy[:40], clean[:40])(noisy[40:])
    before, after = (quality.measure(x, clean[40:]).mse.mean() for x in (noisy[40:], answer))
    assert after < before / 4


def test_the_command_line_trains_publishes_and_lists(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs")]
    options = ["--data", str(small_mnist), "--epochs", "1", "--name", "my-model", *places]
    assert main(["train", "mnist-mlp-8", *options]) == 0
    read = manifest.read(tmp_path / "models" / "my-model" / "1")
    assert read.provenance.epochs == 1
    assert main(["evaluate", "mnist-mlp-8", *options]) == 0
    assert main(["list"]) == 0
    assert "mnist-mlp-8" in capsys.readouterr().out


def test_a_recipe_may_be_given_another_number_of_latents(small_mnist: Path, tmp_path: Path) -> None:
    assert main([
        "train", "mnist-mlp-8", "--latents", "3", "--name", "mlp-3", "--epochs", "1",
        "--data", str(small_mnist), "--models", str(tmp_path / "m"), "--runs", str(tmp_path / "r"),
    ]) == 0  # fmt: skip
    assert manifest.read(tmp_path / "m" / "mlp-3" / "1").latent_shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "mnist-mlp-9"], "did you mean mnist-mlp-8"),
        (["train"], "name one recipe"),
        (["classify"], "name one published model"),
        (["train", "mnist-vae-6", "--latents", "3"], "how it is called by --name"),
        (["train", "mnist-vae-6", "--latents", "0", "--name", "x"], "at least 1, not 0"),
        (["train", "cifar10-conv", "--latents", "3", "--name", "x"], "no vector of latents"),
        (["train", "mnist-mlp-8", "--data", "nowhere"], "no folder nowhere"),
    ],
)
def test_a_command_that_cannot_be_done_says_what_would_have_worked(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().out


def test_a_folder_of_pictures_becomes_a_model_that_names_no_path(tmp_path: Path) -> None:
    from PIL import Image as Pictures

    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(40):
        Pictures.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(
            folder / f"{index}.png"
        )
    assert main([
        "train", "cifar10-conv-denoise", "--data", f"folder:{folder}", "--name", "mine",
        "--epochs", "1", "--models", str(tmp_path / "m"), "--runs", str(tmp_path / "r"),
    ]) == 0  # fmt: skip
    read = manifest.read(tmp_path / "m" / "mine" / "1")
    assert read.dataset == "folder:pictures"
    assert str(tmp_path) not in read.model_dump_json()
