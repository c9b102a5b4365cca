"""What the README shows of the models: their table, and two noisy pictures to try them on.

`python -m training.readme` writes the table between the README's markers, and
`python -m training.readme pictures` writes docs/examples from the test sets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from service import corruption, images, manifest
from service.manifest import Manifest, Score
from training import data

CHECKOUT = data.CHECKOUT
_BEGIN, _END = "<!-- models: begin -->", "<!-- models: end -->"
# Data set, place in its test set, noise; 0.05 on [0, 1] is R3's std 0.1 on [-1, 1].
_PICTURES = (("mnist", 7, "gaussian:0.2"), ("cifar10", 2, "gaussian:0.05"))


def table(models: Path) -> str:
    """The models as a Markdown table: each task's PSNR as served, and what it stands beside."""
    lines = [
        "| model | task | PSNR as served | doing nothing | linear | report |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(models.glob("*/*/model.json")):
        card = manifest.read(path.parent)
        lines += [_row(card, rows) for rows in _tasks(card.scores)]
    return "\n".join(lines)


def _tasks(scores: Sequence[Score]) -> Iterable[list[Score]]:
    """The scores grouped by task and corruption, where the model's own PSNR was measured."""
    groups: dict[tuple[str, str | None], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.task, score.corruption), []).append(score)
    return [rows for rows in groups.values() if _psnr(rows, "model") != "-"]


def _row(card: Manifest, rows: Sequence[Score]) -> str:
    first = rows[0]
    task = f"{first.task} {first.corruption}" if first.corruption else first.task
    linear = _psnr(rows, "linear") if first.corruption else _psnr(rows, "pca")
    cells = [
        f"`{card.name}` ({card.image})",
        f"{task} ({card.dataset})",
        f"**{_psnr(rows, 'model')}**",
        _psnr(rows, "input"),
        linear,
        _psnr(rows, "report", protocol="report"),
    ]
    return f"| {' | '.join(cells)} |"


def _psnr(rows: Sequence[Score], subject: str, protocol: str = "served") -> str:
    for score in rows:
        if score.subject == subject and score.protocol == protocol and "psnr" in score.values:
            return f"{score.values['psnr']:.2f}"
    return "-"


def write_table(readme: Path, models: Path) -> None:
    """Puts the table between the markers of `readme`."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    text = f"{before}{_BEGIN}\n{table(models)}\n{_END}{after}"
    readme.write_text(text, encoding="utf-8")


def write_pictures(folder: Path) -> None:
    """One test image of each data set, clean and noisy, as PNG."""
    where = data.root(None)
    for name, place, noise in _PICTURES:
        clean_BHWC = data.load(name, where).test.pixels[place : place + 1].numpy()
        noisy_BHWC = corruption.parse(noise)(clean_BHWC, np.random.default_rng(0))
        for kind, picture_BHWC in (("clean", clean_BHWC), ("noisy", noisy_BHWC)):
            (folder / f"{kind}-{name}.png").write_bytes(images.encode_png(picture_BHWC[0]))


if __name__ == "__main__":
    if sys.argv[1:] == ["pictures"]:
        write_pictures(CHECKOUT / "docs" / "examples")
    else:
        write_table(CHECKOUT / "README.md", CHECKOUT / "models")
