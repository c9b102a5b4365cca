from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service import images
from training import data, pictures
from training.data import Dataset, Split
from training.errors import DataError


def save_pictures(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index, (width, height) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{index:03}.png")
    return folder


def save_cifar10(root: Path, train: int = 60, test: int = 20) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    np.savez(
        root / "cifar10.npz",
        x_train=rng.integers(0, 256, (train, 32, 32, 3), dtype=np.uint8),
        y_train=rng.integers(0, 10, train, dtype=np.uint8),
        x_test=rng.integers(0, 256, (test, 32, 32, 3), dtype=np.uint8),
        y_test=rng.integers(0, 10, test, dtype=np.uint8),
    )
    return root


def test_a_root_that_was_named_and_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no folder"):
        data.root(str(tmp_path / "nowhere"))
    monkeypatch.setenv("AUTOENCODER_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no folder"):
        data.root()


def test_mnist_is_read_as_uint8_with_a_digest_of_every_file(small_mnist: Path) -> None:
    mnist = data.load("mnist", small_mnist)
    assert mnist.shape == (1, 28, 28)
    assert mnist.train.pixels.dtype == torch.uint8
    assert len(mnist.train) == 2200
    assert len(mnist.digests) == 4


def test_mnist_cut_short_is_an_error_that_names_the_place(
    tmp_path: Path, small_mnist: Path
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (small_mnist / "MNIST" / "raw").iterdir():
        content = path.read_bytes()
        (raw / path.name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="MNIST under"):
        data.load("mnist", tmp_path)


def test_coloured_digits_take_the_colour_of_their_label(small_mnist: Path) -> None:
    grey = data.load("mnist", small_mnist).test
    coloured = data.load("mnist-colour", small_mnist).test
    assert coloured.pixels.shape == (60, 28, 28, 3)
    for label, channels in ((0, [0]), (1, [1]), (2, [2])):
        mine = coloured.pixels[grey.labels == label]
        assert mine.amax((0, 1, 2)).nonzero().flatten().tolist() == channels


def test_five_digits_need_enough_of_each(small_mnist: Path) -> None:
    with pytest.raises(DataError, match="needs 3,795 of the digit"):
        data.load("mnist5", small_mnist)


def test_cifar10_is_read_from_its_npz(tmp_path: Path) -> None:
    cifar10 = data.load("cifar10", save_cifar10(tmp_path))
    assert cifar10.shape == (3, 32, 32)
    assert list(cifar10.digests) == ["cifar10.npz"]
    x_BCHW = cifar10.train.batch(torch.tensor([3, 5]))
    assert x_BCHW.shape == (2, 3, 32, 32)
    assert 0 <= x_BCHW.min() < x_BCHW.max() <= 1


def test_a_damaged_npz_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = save_cifar10(tmp_path) / "cifar10.npz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"cifar10\.npz is damaged"):
        data.load("cifar10", tmp_path)


def test_an_unknown_data_set_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist-colour, cifar10"):
        data.load("imagenet", tmp_path)


def test_validation_is_apart_from_training_and_both_are_the_same_each_time(grey: Dataset) -> None:
    order = torch.arange(200)
    pixels = order.to(torch.uint8).reshape(-1, 1, 1, 1)
    numbered = Dataset(
        "numbered",
        data.Images(pixels, order % 2),
        grey.test, (), {},
    )  # fmt: skip
    train, validation = Split(50, seed=3)(numbered)
    drawn = [set(part.pixels.flatten().tolist()) for part in (train, validation)]
    assert drawn[0] | drawn[1] == set(range(200))
    assert not drawn[0] & drawn[1]
    assert torch.equal(Split(50, seed=3)(numbered)[1].pixels, validation.pixels)
    assert not torch.equal(Split(50, seed=4)(numbered)[1].pixels, validation.pixels)


def test_a_stratified_split_takes_as_many_of_each_class(grey: Dataset) -> None:
    pool = data.Images(torch.zeros(90, 1, 1, 1, dtype=torch.uint8), torch.arange(90) % 3)
    train, validation = Split(30, stratified=True)(Dataset("d", pool, grey.test, (), {}))
    assert validation.labels.bincount().tolist() == [10, 10, 10]
    assert train.labels.bincount().tolist() == [20, 20, 20]


def test_too_few_images_for_the_split_is_an_error_before_training(grey: Dataset) -> None:
    with pytest.raises(DataError, match="240 training images, too few"):
        Split(240)(grey)


def test_a_folder_of_grey_pictures_is_a_data_set_with_one_channel(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", [(20, 16)] * 30, "L")
    pictures = data.load(f"folder:{folder}", tmp_path)
    assert pictures.shape == (1, 16, 20)
    assert (len(pictures.train), len(pictures.test)) == (27, 3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([(16, 16)] * 25 + [(16, 18)], "mixes sizes"), ([(16, 16)] * 3, "holds 3 pictures")],
)
def test_a_folder_that_cannot_be_trained_on_is_refused(
    tmp_path: Path, sizes: list[tuple[int, int]], message: str
) -> None:
    folder = save_pictures(tmp_path / "a", sizes)
    with pytest.raises(DataError, match=message):
        data.load(f"folder:{folder}", tmp_path)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", [(16, 16)] * 25)
    (folder / "007.png").write_bytes((folder / "007.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"007\.png cannot be learnt from: .*truncated"):
        data.load(f"folder:{folder}", tmp_path)


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", [(16, 16)] * 25)
    (folder / "007.png").write_text("not a picture")
    with pytest.raises(DataError, match=r"007\.png cannot be learnt from: .*use PNG, JPEG"):
        data.load(f"folder:{folder}", tmp_path)


@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [("I;16", "16 or 32 bits"), ("I", "16 or 32 bits"), ("F", "floating point"), ("CMYK", "CMYK")],
)
def test_pixels_that_would_not_survive_as_8_bits_are_refused_with_what_works(
    tmp_path: Path, mode: str, kind: str, tile: int
) -> None:
    folder = save_pictures(tmp_path / "a", [(16, 16)] * 25)
    grey = np.arange(256).reshape(16, 16) * 257
    sixteen = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    odd = (
        Image.fromarray(grey.astype(sixteen[mode]))
        if mode in sixteen
        else Image.new(mode, (16, 16))
    )
    assert odd.mode == mode
    odd.save(folder / "007.tif")
    said = rf"007\.tif cannot be learnt from: .*{kind}.*: use PNG, JPEG, .* with 8 bits a channel"
    with pytest.raises(DataError, match=said):
        data.load(f"folder:{folder}", tmp_path, tile=tile)


def test_a_picture_larger_than_any_camera_takes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_pictures(tmp_path / "a", [(16, 16)] * 25)
    monkeypatch.setattr("training.pictures._MOST_PIXELS", 255)
    with pytest.raises(DataError, match=r"000\.png has more than 255 pixels"):
        data.load(f"folder:{folder}", tmp_path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "PA"])
def test_training_sees_a_picture_as_the_service_does(tmp_path: Path, mode: str) -> None:
    folder, (height, width) = tmp_path, (8, 12)
    rng = np.random.default_rng(0)
    drawn = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture = drawn.convert("LA").convert("PA") if mode == "PA" else drawn.convert(mode)
    picture.save(folder / "a.tif" if mode == "PA" else folder / "a.png", exif=exif)
    (path,) = pictures.under(folder)
    (seen,) = pictures.read([path])
    assert seen.shape == (width, height, 1 if mode in ("LA", "1") else 3)
    np.testing.assert_array_equal(seen, images.decode(path.read_bytes()))


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (100, 0, 200, 51)).save(tmp_path / "a.png")
    Image.new("LA", (1, 1), (0, 0)).save(tmp_path / "b.png")
    colour, grey = pictures.read(pictures.under(tmp_path))
    assert colour.tolist() == [[[224, 204, 244]]]
    assert grey.tolist() == [[[255]]]
