"""Sheets of pictures: rows of images, each with its caption, under a title.

Pictures are enlarged by whole numbers and never smoothed: what is seen is what the model gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Images = NDArray[np.uint8]

_PAPER, _INK, _FAINT = (250, 250, 248), (24, 26, 30), (118, 122, 128)
_MARGIN, _GAP, _CAPTIONS = 20, 4, 108
_TITLE, _TEXT = 24, 14


@dataclass(frozen=True)
class Row:
    """Images uint8 [N,H,W,C] beside a caption, whose lines are separated by newlines."""

    caption: str
    images: Images


def sheet(rows: Sequence[Row], *, title: str = "", lines: Iterable[str] = (), cell: int = 64,
          side: Literal["left", "none"] = "left") -> Image.Image:  # fmt: skip
    """Draws `rows` in cells of about `cell` pixels, `lines` of text between them and the title."""
    text = list(lines)
    scale = max(1, cell // max(max(row.images.shape[1:3]) for row in rows))
    left = _MARGIN + (_CAPTIONS if side == "left" else 0)
    head = _MARGIN + (_TITLE + 14 if title else 0) + len(text) * (_TEXT + 6) + (8 if text else 0)
    widest = max(len(row.images) * (row.images.shape[2] * scale + _GAP) for row in rows)
    tall = sum(row.images.shape[1] * scale + _GAP for row in rows)
    size = (left + widest - _GAP + _MARGIN, head + tall - _GAP + _MARGIN)
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    top = _MARGIN
    if title:
        draw.text((_MARGIN, top - 4), title, _INK, ImageFont.load_default(_TITLE))
        top += _TITLE + 14
    font = ImageFont.load_default(_TEXT)
    for line in text:
        draw.text((_MARGIN, top - 4), line, _FAINT, font)
        top += _TEXT + 6
    top = head
    for row in rows:
        height = row.images.shape[1] * scale
        if side == "left":
            anchor = (_MARGIN, top + height / 2)
            draw.multiline_text(anchor, row.caption, _INK, font, anchor="lm", spacing=3)
        for place, image_HWC in enumerate(row.images):
            picture = enlarged(image_HWC, scale)
            page.paste(picture, (left + place * (picture.width + _GAP), top))
        top += height + _GAP
    grey = all(row.images.shape[-1] == 1 for row in rows)
    return page.convert("L") if grey else page


def grid(images_NHWC: Images, columns: int) -> list[Row]:
    """The images as rows of `columns`, without captions."""
    starts = range(0, len(images_NHWC), columns)
    return [Row("", images_NHWC[start : start + columns]) for start in starts]


def enlarged(image_HWC: Images, scale: int) -> Image.Image:
    """A picture, each of whose pixels has become a square of `scale`."""
    pixels = image_HWC[..., 0] if image_HWC.shape[-1] == 1 else image_HWC
    picture = Image.fromarray(pixels)
    size = (picture.width * scale, picture.height * scale)
    return picture.resize(size, Image.Resampling.NEAREST).convert("RGB")


def save(picture: Image.Image, to: Path | BinaryIO) -> None:
    """Writes a PNG, as small as it gets."""
    if isinstance(to, Path):
        to.parent.mkdir(parents=True, exist_ok=True)
    picture.save(to, format="PNG", optimize=True)
