"""Kinds of noise that a denoiser of photographs has learned or not, and what the service tells.

python -m benchmarks.noise_kinds MODEL [--photos FOLDER] [--every 7]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchmarks.noise import PHOTOS, ROOT
from benchmarks.photographs import photographs
from service import manifest, noise
from service.model import Model
from service.quality import measure

Levels = NDArray[np.uint8]
Kind = Callable[[Levels, np.random.Generator], Levels]

UNUSUAL = 99  # percent


def stored(levels: NDArray[np.floating]) -> Levels:
    """As a file has it."""
    rounded: Levels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return rounded


def gaussian(std: float) -> Kind:
    return lambda clean, rng: stored(clean + rng.normal(0, std, clean.shape))


def one_half(std: float) -> Kind:
    """In the right half only."""

    def corrupt(clean: Levels, rng: np.random.Generator) -> Levels:
        added = rng.normal(0, std, clean.shape)
        added[:, : clean.shape[1] // 2] = 0
        return stored(clean + added)

    return corrupt


def wrong_pixels(share: float) -> Kind:
    """Salt and pepper."""

    def corrupt(clean: Levels, rng: np.random.Generator) -> Levels:
        black_or_white = 255 * rng.integers(0, 2, clean.shape)
        return stored(np.where(rng.random(clean.shape) < share, black_or_white, clean))

    return corrupt


def jpeg(quality: int, std: float = 0) -> Kind:
    """Stored as a JPEG, with noise on it before."""

    def corrupt(clean: Levels, rng: np.random.Generator) -> Levels:
        file = io.BytesIO()
        noisy = gaussian(std)(clean, rng)
        Image.fromarray(noisy).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return corrupt


def stripes(std: float) -> Kind:
    """Each row brighter or darker by something."""
    return lambda clean, rng: stored(clean + rng.normal(0, std, (len(clean), 1)))


def enlarged(std: float) -> Kind:
    """A noisy picture of half the size, enlarged."""

    def corrupt(clean: Levels, rng: np.random.Generator) -> Levels:
        height, width = clean.shape
        small = np.asarray(Image.fromarray(clean).resize((width // 2, height // 2)))
        noisy = Image.fromarray(gaussian(std)(small, rng))
        return np.asarray(noisy.resize((width, height), Image.Resampling.BILINEAR))

    return corrupt


def lettering(std: float) -> Kind:
    """Noise on a page of letters, in the photograph's place."""

    def corrupt(clean: Levels, rng: np.random.Generator) -> Levels:
        return gaussian(std)(_page(*clean.shape), rng)

    return corrupt


KINDS: dict[str, Kind] = {
    "normal, 5": gaussian(5),
    "normal, 15": gaussian(15),
    "normal, 50": gaussian(50),
    "normal, 15, then JPEG 90": jpeg(90, 15),
    "normal, 25, in one half": one_half(25),
    "normal, 15, on letters": lettering(15),
    "normal, 15, then JPEG 60": jpeg(60, 15),
    "1 % of pixels black or white": wrong_pixels(0.01),
    "20 % of pixels black or white": wrong_pixels(0.2),
    "none": gaussian(0),
    "JPEG 10": jpeg(10),
    "stripes, 15": stripes(15),
    "normal, 30, enlarged twice": enlarged(30),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints, for each kind, what there was, what was told, and what it helped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise_kinds", description=__doc__)
    parser.add_argument("model", help="NAME, of a grey model whose card has percentiles")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--every", type=int, default=7, help="so manieth photograph of BSD68")
    options = parser.parse_args(arguments)
    folder = max((options.models / options.model).iterdir(), key=lambda path: int(path.name))
    known, model = manifest.read(folder).noise_kurtosis_percentiles, Model.open(folder, threads=2)
    assert known is not None
    photos = list(photographs(options.photos, "bsd68"))[:: options.every]
    print("| noise | std | told | gain, dB | excess kurtosis | beyond 99 | told no kind |")
    print("|---|---|---|---|---|---|---|")
    for name, corrupt in KINDS.items():
        rows: list[tuple[float, float, float]] = []
        kurtoses: list[float] = []
        for photo in photos:
            noisy = corrupt(photo.clean, np.random.default_rng([1, photo.place]))
            clean = _page(*noisy.shape) if "letters" in name else photo.clean
            answer = model.reconstruct(noisy[None, :, :, None])[0]
            found = noise.measure(noisy[:, :, None], answer)
            assert found is not None
            before, after = (
                float(measure(each[None], clean[None, :, :, None]).psnr[0])
                for each in (noisy[:, :, None], answer)
            )
            rows.append((float(np.std(noisy - clean.astype(float))), found.std, after - before))
            if found.kurtosis is not None:
                kurtoses.append(found.kurtosis)
        true, told, gain = np.mean(rows, 0)
        beyond = np.mean([k > known[UNUSUAL] for k in kurtoses]) if kurtoses else 0
        shape = "-"
        if kurtoses:
            low, middle, high = np.percentile(kurtoses, (10, 50, 90))
            shape = f"{middle:.1f} ({low:.1f} to {high:.1f})"
        print(
            f"| {name} | {true:.1f} | {told:.1f} | {f'{gain:.1f}' if true else '-'} | {shape} | "
            f"{beyond:.0%} | {1 - len(kurtoses) / len(photos):.0%} |",
            flush=True,
        )


def _page(height: int, width: int) -> Levels:
    page = Image.new("L", (width, height), "white")
    line = "The quick brown fox jumps over the lazy dog. " * 3
    for top in range(4, height, 17):
        ImageDraw.Draw(page).text((4, top), line[top % 44 :], font=ImageFont.load_default(14))
    return np.asarray(ImageOps.autocontrast(page))


if __name__ == "__main__":
    main()
