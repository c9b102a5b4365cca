"""A denoiser of photographs, from made-up pictures of several sizes to a published model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service import manifest, quality
from service.model import Model
from training import data, recipes, residuals, sweep
from training.cli import main
from training.corruption import Clean, Gaussian, GaussianUpTo
from training.crops import Crops
from training.data import Dataset
from training.errors import DataError
from training.initialise import build
from training.loop import Trained, train
from training.networks import Shape, SkipNet
from training.publish import publish
from training.recipes import Recipe
from training.schedules import AdamW

CHECKOUT = Path(__file__).resolve().parents[2]


def scene(height: int, width: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Smooth shades with edges and a texture, as photographs have them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 32
    shades = sum(np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-2, 2, (4, 3)))
    edges = 40 * (np.sin(rng.uniform(1, 3) * x + rng.uniform(1, 3) * y) > 0)
    texture = 6 * np.sin(24 * x) * np.sin(20 * y)
    return np.clip(110 + 30 * shades + edges + texture, 0, 255).astype(np.uint8)


def save(folder: Path, count: int, *, mode: str = "L", least: int = 40) -> Path:
    """Pictures of many sizes, the first upright and the second lying."""
    folder.mkdir(parents=True)
    for index in range(count):
        height, width = (least, least + 16) if index % 2 else (least + 16, least)
        picture = Image.fromarray(scene(height, width, index)).convert(mode)
        picture.save(folder / f"{index:03}.png")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    folder = root / "photos" / "train400"
    folder.mkdir(parents=True)
    for index in range(24):
        Image.fromarray(scene(48, 48, index)).save(folder / f"{index:03}.png")
    save(root / "photos" / "bsd68", 6)
    return root


@pytest.fixture(scope="module")
def photos(root: Path) -> Dataset:
    return data.load("photos", root)


@pytest.fixture
def recipe() -> Recipe:
    return small()


def small() -> Recipe:
    """The shipped recipe, but small and short."""
    return replace(
        recipes.named("photo-denoise-gray"), net=SkipNet(8, fine=1, coarse=1, deep=1), epochs=3,
        split=data.Split(4), cut=Crops(24, of_each=8), optimiser=AdamW(4e-3),
    )  # fmt: skip


def test_upright_photographs_are_laid_on_their_side_and_come_last(photos: Dataset) -> None:
    assert photos.test.pixels.shape == (6, 40, 56, 1)
    turned = np.rot90(scene(56, 40, 0))
    for place, picture in ((0, scene(40, 56, 1)), (2, scene(40, 56, 5)), (3, turned)):
        np.testing.assert_array_equal(photos.test.pixels[place, :, :, 0].numpy(), picture)
    assert photos.shape == (1, 48, 48)
    assert set(photos.digests) == {"photos/train400", "photos/bsd68"}


def test_photographs_that_are_not_there_are_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train400 holds 0 pictures.*put their PNG files there"):
        data.load("photos", tmp_path)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_folder_of_many_sizes_becomes_tiles(tmp_path: Path, mode: str, channels: int) -> None:
    folder = save(tmp_path / "own", 20, mode=mode)
    own = data.load(f"folder:{folder}", tmp_path, tile=20)
    assert own.train.pixels.shape == (18 * 4, 20, 20, channels)
    assert own.test.pixels.shape == (2 * 4, 20, 20, channels)
    with pytest.raises(DataError, match=r"mixes sizes.*photo-denoise-color"):
        data.load(f"folder:{folder}", tmp_path)
    with pytest.raises(DataError, match=r"is (56x40|40x56): at least 48x48 is needed"):
        data.load(f"folder:{folder}", tmp_path, tile=48)


def test_tiles_do_not_overlap_and_a_large_picture_gives_sixteen(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for index in range(20):
        Image.fromarray(scene(90, 150, index)).save(folder / f"{index}.png")
    own = data.load(f"folder:{folder}", tmp_path, tile=15)  # 60 of each would fit
    assert len(own.train) == 18 * 15
    first = own.train.pixels[:15, :, :, 0].numpy()
    assert len({tile.tobytes() for tile in first}) == 15


def test_the_colour_recipe_asks_for_pictures_and_all_leaves_it_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "photo-denoise-color", "--runs", str(tmp_path)]) == 1
    assert "--data folder:PATH" in capsys.readouterr().out


class Killed(Exception):
    """Stands for the process going away."""


def dies_in(epoch: int) -> Callable[..., None]:
    def report(now: int, seen: int, loss: object) -> None:
        if now == epoch and seen > 60:
            raise Killed

    return report


def weights(run: Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.net.parameters()])


def test_a_killed_run_goes_on_to_the_same_weights(
    recipe: Recipe, photos: Dataset, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        train(recipe, photos, checkpoint=checkpoint, report=dies_in(2))
    resumed = train(recipe, photos, checkpoint=checkpoint)
    assert [entry["epoch"] for entry in resumed.history] == [1, 2, 3]
    assert torch.equal(weights(resumed), weights(train(recipe, photos)))


def test_the_network_bears_any_brightness_alike(recipe: Recipe) -> None:
    """Without constants, k times the image gives k times the answer (Mohan et al. 2020)."""
    net = build(recipe.net, Shape(1, 48, 48), "torch", 0).eval()
    x = torch.rand(1, 1, 33, 47)
    with torch.no_grad():
        assert torch.allclose(net(3 * x).images, 3 * net(x).images, rtol=1e-4, atol=1e-5)
    assert all(name.endswith("weight") for name, _ in net.named_parameters())


@pytest.fixture(scope="module")
def folder(photos: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = replace(small(), epochs=8)
    return publish(recipe, {0: train(recipe, photos)}, photos, tmp_path_factory.mktemp("models"))


def test_what_is_published_cleans_photographs_of_any_size(folder: Path) -> None:
    card, model = manifest.read(folder), Model.open(folder)
    assert card.abilities == ("denoise", "reconstruct")
    assert (card.image.height, card.image.smallest, card.image.channelwise) == (None, 1, True)
    rows = {(s.subject, s.corruption): s for s in card.scores if s.protocol == "served"}
    ours, before = (rows[s, card.corruption].values["psnr"] for s in ("model", "input"))
    assert ours > before + 2
    for height, width in ((1, 1), (1, 9), (7, 1999), (17, 33), (64, 64)):
        image = np.random.default_rng(0).integers(0, 256, (1, height, width, 1), np.uint8)
        assert model.reconstruct(image).shape == image.shape


def test_what_it_takes_off_learned_noise_is_nearly_normal(folder: Path, photos: Dataset) -> None:
    model = Model.open(folder)
    large = np.stack([scene(96, 96, seed) for seed in range(3)])[..., None]
    percentiles = residuals.kurtosis_percentiles(GaussianUpTo(0, 0.2, 0.1), model, large)
    assert percentiles is not None
    assert len(percentiles) == 101
    assert abs(percentiles[50]) < 0.5
    assert residuals.kurtosis_percentiles(Gaussian(0.1), model, large) is not None
    assert residuals.kurtosis_percentiles(Clean(), model, large) is None
    too_small = photos.test.pixels.numpy()
    assert residuals.kurtosis_percentiles(Gaussian(0.1), model, too_small) is None
    assert manifest.read(folder).noise_kurtosis_percentiles is None


def test_noise_that_is_not_clipped_is_swept_too(folder: Path, photos: Dataset) -> None:
    levels = sweep.noise(folder, photos)["levels"]
    assert [level["std"] for level in levels] == list(sweep.FINE)
    for reading in ("clipped", "unclipped"):
        row = next(level for level in levels if level["std"] == 0.1)[reading]
        assert row["model"]["psnr"] > row["input"]["psnr"] + 2


def test_its_figures_are_drawn_like_all_others(folder: Path, root: Path, tmp_path: Path) -> None:
    models = folder.parent.parent
    before = (folder / "card.png").read_bytes()
    places = ["--models", str(models), "--data", str(root), "--results", str(tmp_path)]
    assert main(["figures", "photo-denoise-gray", *places, "--runs", str(tmp_path)]) == 0
    assert (folder / "card.png").read_bytes() == before


def test_the_shipped_model_takes_noise_off_and_leaves_clean_pictures_alone() -> None:
    folder = CHECKOUT / "models" / "photo-denoise-gray" / "1"
    model = Model.open(folder)
    clean = scene(120, 161, 99)[None, :, :, None]
    untouched = quality.measure(model.reconstruct(clean), clean).psnr
    assert untouched > 38
    for level, gain in ((15, 5), (25, 7), (50, 9)):
        noise = level * np.random.default_rng(level).standard_normal(clean.shape)
        noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
        before = quality.measure(noisy, clean).psnr
        assert quality.measure(model.reconstruct(noisy), clean).psnr > before + gain
