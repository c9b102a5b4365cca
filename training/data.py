"""The data sets, each as one uint8 tensor [N,H,W,C], and the splits that are made of them.

    mnist        60,000 + 10,000 grey digits, 28x28
    mnist5       15,180 + 3,795 of the digits 0, 1, 2, 4 and 7, as many of each (R1)
    mnist-colour the digits of mnist, each in the colour of its label, 28x28x3 (R0)
    cifar10      50,000 + 10,000 colour pictures of ten classes, 32x32
    photos       400 + 68 grey photographs, 180x180 and 321x481 (train400, BSD68)
    folder:PATH  a folder of pictures, of one size unless the recipe learns from crops of them

Raises DataError before any training begins if a set is missing, damaged or too small.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.manifest import digest
from training import pictures
from training.errors import DataError
from training.lines import Line
from training.networks import Shape
from training.seeds import generator

CHECKOUT = Path(__file__).resolve().parent.parent
_FIVE = (0, 1, 2, 4, 7)
_PALETTE = (
    (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1),
    (0, 1, 1), (.5, .5, 0), (.5, 0, .5), (0, .5, .5), (.5, .5, .5),
)  # fmt: skip
# What a recipe names that has no data set of its own.
OWN_PICTURES = "folder:PATH"
_SMALL = 32 * 32
_CIFAR10 = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())  # noqa: SIM905


@dataclass(frozen=True)
class Images:
    """Pictures and their labels: uint8 [N,H,W,C] and int64 [N]."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> Images:
        return Images(self.pixels[index], self.labels[index])

    def slices(self, most: int) -> Iterator[slice]:
        """The places of all, `most` at a time and fewer where images are larger than 32x32."""
        height, width = self.pixels.shape[1:3]
        count = max(1, min(most, most * _SMALL // (height * width)))
        return (slice(start, start + count) for start in range(0, len(self), count))

    def batch(self, index_B: Tensor | slice) -> Tensor:
        """Those images as float [B,C,H,W] in [0, 1]."""
        if isinstance(index_B, slice):
            pixels_BHWC = self.pixels[index_B]
        else:  # four times as fast as brackets (512 digits, one core)
            pixels_BHWC = self.pixels.index_select(0, index_B)
        return pixels_BHWC.permute(0, 3, 1, 2).float().div_(255)


@dataclass(frozen=True)
class Dataset:
    """What may be learnt from and chosen by (`train`), and what may only be scored on (`test`)."""

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    digests: dict[str, str]

    @property
    def shape(self) -> Shape:
        height, width, channels = self.train.pixels.shape[1:]
        return Shape(channels, height, width)


@dataclass(frozen=True, repr=False)
class Split(Line):
    """Keeps `validation` of the training images apart, drawn by `seed`.

    `stratified` draws as many of each class. For a folder of pictures a tenth is kept.
    """

    validation: int
    seed: int = 0
    stratified: bool = False

    def __call__(self, dataset: Dataset) -> tuple[Images, Images]:
        """The training and the validation images.

        Raises:
            DataError: there are too few for both.
        """
        pool = dataset.train
        kept = len(pool) // 10 if dataset.name.startswith("folder:") else self.validation
        if kept < 1 or kept >= len(pool):
            raise DataError(
                f"{dataset.name} has {len(pool)} training images, too few to keep "
                f"{max(kept, 1)} of them apart for validation"
            )
        order_N = torch.randperm(len(pool), generator=torch.Generator().manual_seed(self.seed))
        if self.stratified:
            order_N = by_turns(order_N, pool.labels)
        return pool[order_N[kept:]], pool[order_N[:kept]]


def by_turns(order_N: Tensor, labels: Tensor) -> Tensor:
    """`order_N` rearranged so that the classes take turns, as far as they go."""
    turn_N = torch.empty_like(order_N)
    for label in set(labels.tolist()):
        mine = labels[order_N] == label
        turn_N[mine] = torch.arange(int(mine.sum()))
    return order_N[torch.argsort(turn_N, stable=True)]


def root(given: str | None = None) -> Path:
    """Where the data lies: `given`, else $AUTOENCODER_DATA, else beside the checkout, else data/.

    Raises:
        DataError: a place was named, and there is no such folder.
    """
    chosen = given or os.environ.get("AUTOENCODER_DATA")
    if chosen:
        if not Path(chosen).is_dir():
            raise DataError(f"there is no folder {chosen}: name one with --data ROOT")
        return Path(chosen)
    beside = CHECKOUT.parent / "shared" / "data"
    return beside if beside.is_dir() else CHECKOUT / "data"


def load(name: str, where: Path, *, tile: int = 0) -> Dataset:
    """Reads a data set; a folder's pictures as they are, or as squares of `tile` pixels.

    Raises:
        DataError: there is no such set, or its files are missing or damaged.
    """
    if name.startswith("folder:"):
        return _folder(name, tile)
    if name == "mnist":
        return _mnist(where)
    if name == "mnist5":
        return _five(_mnist(where))
    if name == "mnist-colour":
        return _coloured(_mnist(where))
    if name == "cifar10":
        return _cifar10(where)
    if name == "photos":
        return _photos(where)
    raise DataError(
        f"no data set is called {name!r}: "
        "mnist, mnist5, mnist-colour, cifar10, photos or folder:PATH"
    )


def _mnist(where: Path) -> Dataset:
    from torchvision.datasets import MNIST  # noqa: PLC0415 (a second, which `list` need not pay)

    raw = where / "MNIST" / "raw"
    here = raw.is_dir()
    parts = []
    for train in (True, False):
        try:
            part = MNIST(str(where), train=train, download=not here)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            raise DataError(f"MNIST under {where} cannot be read: {error or 'damaged'}") from error
        images = part.data[..., None].contiguous()
        if len(images) != len(part.targets) or images.shape[1:] != (28, 28, 1):
            raise DataError(f"MNIST under {where} is damaged: {tuple(images.shape)} images")
        parts.append(Images(images, part.targets.long()))
    digests = {f"MNIST/raw/{p.name}": digest(p) for p in sorted(raw.glob("*-ubyte"))}
    return Dataset("mnist", parts[0], parts[1], tuple("0123456789"), digests)


def _five(mnist: Dataset) -> Dataset:
    """R1: 3,795 of each of five digits out of all 70,000, 759 of them for testing.

    The report does not say which; ours are drawn by a fixed seed.
    """
    pixels = torch.cat([mnist.train.pixels, mnist.test.pixels])
    labels = torch.cat([mnist.train.labels, mnist.test.labels])
    order = torch.randperm(len(labels), generator=generator(0, "mnist5"))
    learn, test = [], []
    for digit in _FIVE:
        mine = order[labels[order] == digit]
        if len(mine) < 3795:
            raise DataError(f"mnist5 needs 3,795 of the digit {digit}; here are {len(mine)}")
        test.append(mine[:759])
        learn.append(mine[759:3795])
    renamed = torch.full((10,), -1)
    renamed[list(_FIVE)] = torch.arange(len(_FIVE))
    parts = [Images(pixels[i], renamed[labels[i]]) for i in map(torch.cat, (learn, test))]
    return Dataset("mnist5", parts[0], parts[1], tuple(map(str, _FIVE)), mnist.digests)


def _coloured(mnist: Dataset) -> Dataset:
    """R0: the palette is by label, so the colour gives the class away."""
    palette = torch.tensor(_PALETTE, dtype=torch.float32)
    parts = []
    for part in (mnist.train, mnist.test):
        pixels = torch.empty(*part.pixels.shape[:3], 3, dtype=torch.uint8)
        # By colour, for all of them at once would be 560 MB of floats.
        for label, colour in enumerate(palette):
            mine = part.labels == label
            pixels[mine] = (part.pixels[mine] * colour).round().to(torch.uint8)
        parts.append(Images(pixels, part.labels))
    return Dataset("mnist-colour", parts[0], parts[1], mnist.classes, mnist.digests)


def _cifar10(where: Path) -> Dataset:
    path = where / "cifar10.npz"
    if path.exists():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                parts = [
                    Images(torch.from_numpy(arrays[x]), torch.from_numpy(arrays[y]).long())
                    for x, y in (("x_train", "y_train"), ("x_test", "y_test"))
                ]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged: {error}") from error
        return Dataset("cifar10", parts[0], parts[1], _CIFAR10, {path.name: digest(path)})
    from torchvision.datasets import CIFAR10  # noqa: PLC0415

    parts = []
    for train in (True, False):
        try:
            part = CIFAR10(str(where), train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"CIFAR-10 under {where} cannot be read: {error}") from error
        parts.append(Images(torch.from_numpy(part.data), torch.tensor(part.targets)))
    batches = sorted((where / "cifar-10-batches-py").glob("*_batch*"))
    digests = {f"cifar-10-batches-py/{p.name}": digest(p) for p in batches}
    return Dataset("cifar10", parts[0], parts[1], _CIFAR10, digests)


def _photos(where: Path) -> Dataset:
    """The photographs of the denoising literature: train400 to learn from, BSD68 to score on.

    The upright ones of BSD68 are laid on their side, so that all are of one size, and come last.
    """
    parts, digests = [], {}
    for folder in ("train400", "bsd68"):
        paths = pictures.under(where / "photos" / folder)
        if len(paths) < 2:
            raise DataError(
                f"{where / 'photos' / folder} holds {len(paths)} pictures: the photographs of "
                "train400 and BSD68 are not downloaded, put their PNG files there"
            )
        found = sorted(pictures.read(paths), key=_upright)
        laid = [np.rot90(picture) if _upright(picture) else picture for picture in found]
        parts.append(_unlabelled(torch.from_numpy(np.stack(laid))))
        digests[f"photos/{folder}"] = pictures.digest(paths)
    return Dataset("photos", parts[0], parts[1], (), digests)


def _upright(picture_HWC: pictures.Array) -> bool:
    height, width = picture_HWC.shape[:2]
    return bool(height > width)


def _folder(name: str, tile: int) -> Dataset:
    """Every picture under a folder; a tenth, drawn by a fixed seed, becomes the test set."""
    where = Path(name.removeprefix("folder:"))
    if name == OWN_PICTURES:
        raise DataError("this recipe learns from pictures of your own: --data folder:PATH")
    if not where.is_dir():
        raise DataError(f"there is no folder {where}")
    paths = pictures.under(where)
    if len(paths) < 20:
        raise DataError(f"{where} holds {len(paths)} pictures; at least 20 are needed")
    order = torch.randperm(len(paths), generator=generator(0, "folder")).tolist()
    kept = max(1, len(paths) // 10)
    if tile:
        # Picture by picture: tiles of one must not be learnt from and scored on.
        parts = [[paths[i] for i in order[kept:]], [paths[i] for i in order[:kept]]]
        train, test = (pictures.tiled(part, tile) for part in parts)
    else:
        images = pictures.whole(paths)
        train, test = images[order[kept:]], images[order[:kept]]
    digests = {str(p.relative_to(where)): digest(p) for p in paths}
    return Dataset(name, _unlabelled(train), _unlabelled(test), (), digests)


def _unlabelled(pixels_NHWC: Tensor) -> Images:
    return Images(pixels_NHWC, torch.zeros(len(pixels_NHWC)).long())
