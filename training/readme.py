"""What the README shows of the models: their table, and noisy pictures to try them on.

`python -m training.readme` writes the table between the README's markers, and
`python -m training.readme pictures` writes docs/examples from the test sets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service import corruption, images, manifest
from service.manifest import Manifest, Score
from service.model import Model
from training import data

CHECKOUT = data.CHECKOUT
_BEGIN, _END = "<!-- models: begin -->", "<!-- models: end -->"
_WHOLE = slice(None), slice(None)
# Data set, place in its test set, part of the picture, noise (0.05 on [0, 1] is R3's std 0.1 on
# [-1, 1]), denoiser.
_PICTURES = (
    ("mnist", 7, _WHOLE, "gaussian:0.2", "mnist-unet-denoise"),
    ("mnist-colour", 18, _WHOLE, "gaussian:0.3", "mnist-colour-unet"),
    ("photos", 10, (slice(110, 300), slice(200, 440)), "gaussian:0.1", "photo-denoise-gray"),
    ("cifar10", 2, _WHOLE, "gaussian:0.05", "cifar10-conv-denoise"),
)
# Two digits to walk between, by their places in MNIST's test set.
_DIGITS = {"two": 1, "seven": 0}


def table(models: Path) -> str:
    """The models as a Markdown table: what each is for, how well, and what it stands beside."""
    lines = [
        "| model | takes | task | PSNR as served | doing nothing | linear | ours / report |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(manifest.read(path.parent)) for path in sorted(models.glob("*/*/model.json"))]
    return "\n".join(lines)


def _row(card: Manifest) -> str:
    """A model at what it is for: the corruption it learned to undo, else reconstruction."""
    task = "denoise" if card.corruption else "reconstruct"
    rows = [s for s in card.scores if s.task == task and s.corruption == card.corruption]
    cells = [
        f"`{card.name}`",
        str(card.image),
        f"{task} {card.corruption or ''}".strip(),
        f"**{_psnr(rows, 'model')}**",
        _psnr(rows, "input"),
        _psnr(rows, "linear" if card.corruption else "pca"),
        _beside_report(card, task),
    ]
    return f"| {' | '.join(cells)} |"


def _psnr(rows: Sequence[Score], subject: str) -> str:
    for score in rows:
        if score.subject == subject and score.protocol == "served" and "psnr" in score.values:
            return f"{score.values['psnr']:.2f}"
    return "-"


def _beside_report(card: Manifest, task: str) -> str:
    """Our number by the report's own protocol and the report's, in the report's own measure.

    Where the report did not test at what the model is for, at what it did test, which is named.
    """
    rows = [s for s in card.scores if s.task == task and s.protocol == "report"]
    for tested in dict.fromkeys([card.corruption, *(s.corruption for s in rows)]):
        values = {s.subject: s.values for s in rows if s.corruption == tested}
        theirs, ours = values.get("report", {}), values.get("model", {})
        for measure in ("psnr", "mse", "loss"):
            if measure in theirs and measure in ours:
                digits = ".2f" if measure == "psnr" else ".4f"
                cell = f"{measure} {ours[measure]:{digits}} / {theirs[measure]:{digits}}"
                return cell if tested == card.corruption else f"{cell} at {tested}"
    return "-"


def write_table(readme: Path, models: Path) -> None:
    """Puts the table between the markers of `readme`."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    text = f"{before}{_BEGIN}\n{table(models)}\n{_END}{after}"
    readme.write_text(text, encoding="utf-8")


def write_pictures(folder: Path, models: Path) -> None:
    """One test image of each data set, clean, noisy and denoised by a shipped model, as PNG."""
    where = data.root(None)
    for digit, place in _DIGITS.items():
        pixels_HWC = data.load("mnist", where).test.pixels[place].numpy()
        (folder / f"{digit}.png").write_bytes(images.encode_png(pixels_HWC))
    for name, place, (rows, columns), noise, model in _PICTURES:
        clean_BHWC = data.load(name, where).test.pixels[place : place + 1, rows, columns].numpy()
        noisy_BHWC = corruption.parse(noise)(clean_BHWC, np.random.default_rng(0))
        denoised_BHWC = Model.open(models / model / "1").reconstruct(noisy_BHWC)
        kinds = {"clean": clean_BHWC, "noisy": noisy_BHWC, "denoised": denoised_BHWC}
        for kind, picture_BHWC in kinds.items():
            (folder / f"{kind}-{name}.png").write_bytes(images.encode_png(picture_BHWC[0]))


if __name__ == "__main__":
    if sys.argv[1:] == ["pictures"]:
        write_pictures(CHECKOUT / "docs" / "examples", CHECKOUT / "models")
    else:
        write_table(CHECKOUT / "README.md", CHECKOUT / "models")
