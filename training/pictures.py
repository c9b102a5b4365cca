"""Picture files as uint8 arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from service import manifest
from training.errors import DataError

Array = NDArray[np.uint8]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_GREY = ("L", "1", "I", "I;16", "LA")


def under(folder: Path) -> list[Path]:
    """The picture files in a folder and those below it, in order of their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)


def read(paths: Sequence[Path]) -> list[Array]:
    """Each picture as [H,W,C]: with one channel if all of them are grey, else with three.

    Raises:
        DataError: one cannot be read.
    """
    found: list[Array] = []
    grey = True
    for path in paths:
        try:
            with Image.open(path) as picture:
                grey = grey and picture.mode in _GREY
                found.append(np.asarray(picture.convert("RGB")))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} is not a picture that can be read: {error}") from error
    return [pixels[..., :1] for pixels in found] if grey else found


def digest(paths: Sequence[Path]) -> str:
    """One SHA-256 of the names and the contents of many files, in that order."""
    lines = [f"{manifest.digest(path)}  {path.name}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def stacked(images: Sequence[Array], paths: Sequence[Path]) -> Tensor:
    """Those images as one tensor [N,H,W,C].

    Raises:
        DataError: they are of several sizes.
    """
    for path, pixels in zip(paths, images, strict=True):
        if pixels.shape != images[0].shape:
            first, other = images[0].shape, pixels.shape
            raise DataError(
                f"{path.parent} mixes sizes: {paths[0].name} is {first[1]}x{first[0]}, "
                f"{path.name} is {other[1]}x{other[0]}; resize them to one size first"
            )
    return torch.from_numpy(np.stack(images))
