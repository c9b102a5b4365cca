"""What a batch is made of: whole images, or squares cut out of them and turned.

Photographs are larger than a step needs, and look as natural in a mirror: a square at random, in
one of eight orientations, makes millions of training images of some hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data import Images
from training.lines import Line


@dataclass(frozen=True, repr=False)
class Whole(Line):
    """Every image once an epoch, as it is."""

    @property
    def of_each(self) -> int:
        """How many of an epoch's images are cut from one stored image."""
        return 1

    @property
    def tile(self) -> int:
        """The side of the squares that a folder's pictures are cut into first; 0 for none."""
        return 0

    def __call__(self, images: Images, index_B: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """A batch of those images, float [B,C,H,W] in [0, 1]."""
        return images.batch(index_B)


@dataclass(frozen=True, repr=False)
class Crops(Line):
    """Squares of `side` pixels at random places in eight orientations, `of_each` image an epoch."""

    side: int
    of_each: int = 1

    @property
    def tile(self) -> int:
        """Twice the side, so that a crop can lie in many places."""
        return 2 * self.side

    def __call__(self, images: Images, index_B: Tensor, generator: torch.Generator) -> Tensor:
        """A square of each of those images, float [B,C,side,side] in [0, 1]."""
        _, H, W, _ = images.pixels.shape
        device = images.pixels.device
        draw_5B11 = torch.rand((5, len(index_B), 1, 1), generator=generator, device=device)
        along = torch.arange(self.side, device=device)
        down_B11, right_B11 = (
            (draw * (length - self.side + 1)).long()
            for draw, length in zip(draw_5B11[:2], (H, W), strict=True)
        )
        upside_down, mirrored, transposed = draw_5B11[2:] < 0.5
        rows = torch.where(upside_down, along.flip(0), along)
        columns = torch.where(mirrored, along.flip(0), along)
        across_rows, across_columns = rows.transpose(1, 2), columns.transpose(1, 2)
        rows, columns = (
            torch.where(transposed, rows, across_rows),
            torch.where(transposed, across_columns, columns),
        )
        picture_B11 = index_B[:, None, None]
        x_BHWC = images.pixels[picture_B11, rows + down_B11, columns + right_B11]
        return x_BHWC.permute(0, 3, 1, 2).float().div_(255)


Cut = Whole | Crops
