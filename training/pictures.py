"""Picture files as uint8 arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service import images, manifest
from service.errors import TooLarge, Unprocessable
from training.errors import DataError

Array = NDArray[np.uint8]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_MOST_TILES = 16
_MOST_PIXELS = 2**28  # of one picture; nobody's camera takes more


def under(folder: Path) -> list[Path]:
    """The picture files in a folder and those below it, in order of their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)


def read(paths: Iterable[Path]) -> Iterator[Array]:
    """Each picture as [H,W,C] as the service sees it: grey or RGB, upright, alpha laid on white.

    Raises:
        DataError: one cannot be read, or is of a kind that the service refuses too.
    """
    for path in paths:
        try:
            yield images.decode(path.read_bytes(), max_pixels=_MOST_PIXELS)
        except TooLarge as error:
            raise DataError(f"{path} has more than {_MOST_PIXELS} pixels: cut it up") from error
        except (OSError, Unprocessable) as error:
            raise DataError(f"{path} cannot be learnt from: {error}") from error


def whole(paths: Sequence[Path]) -> Tensor:
    """All pictures as they are, [N,H,W,C].

    Raises:
        DataError: they are of several sizes, or one cannot be read.
    """
    found: list[Array] = []
    for path, pixels in zip(paths, read(paths), strict=True):
        if found and pixels.shape[:2] != found[0].shape[:2]:
            first, other = found[0].shape, pixels.shape
            raise DataError(
                f"{path.parent} mixes sizes: {paths[0].name} is {first[1]}x{first[0]}, "
                f"{path.name} is {other[1]}x{other[0]}; resize them to one size first, or train "
                "a recipe that learns from squares of them, as photo-denoise-color does"
            )
        found.append(pixels)
    return _stacked(found)


def tiled(paths: Sequence[Path], side: int) -> Tensor:
    """Squares of `side` pixels out of pictures of any size, [N,side,side,C].

    They do not overlap, and one picture gives 16 at most, spread over it.

    Raises:
        DataError: a picture is too small for one, or cannot be read.
    """
    found: list[Array] = []
    for path, pixels in zip(paths, read(paths), strict=True):
        height, width = pixels.shape[:2]
        if min(height, width) < side:
            raise DataError(f"{path} is {width}x{height}: at least {side}x{side} is needed")
        corners = [(y, x) for y in _starts(height, side) for x in _starts(width, side)]
        step = -(-len(corners) // _MOST_TILES)
        # A copy, or each tile would keep its whole picture in memory.
        found += [pixels[y : y + side, x : x + side].copy() for y, x in corners[::step]]
    return _stacked(found)


def digest(paths: Sequence[Path]) -> str:
    """One SHA-256 of the names and the contents of many files, in that order."""
    lines = [f"{manifest.digest(path)}  {path.name}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _starts(length: int, side: int) -> range:
    """Where tiles begin, as many as fit, in the middle."""
    return range(length % side // 2, length - side + 1, side)


def _stacked(found: Sequence[Array]) -> Tensor:
    """One tensor; a single picture in colour makes all of them colour."""
    depth = max(image.shape[2] for image in found)
    return torch.from_numpy(np.stack([np.repeat(i, depth // i.shape[2], 2) for i in found]))
