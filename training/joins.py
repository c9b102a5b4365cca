"""How weights join two feature maps, as the tables of offsets that training/kernel.c reads.

Every layer with weights is a convolution of a large map to a small one, or its transpose: a dense
layer has a kernel as large as the map. Offsets count vectors of 16 images in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.kernel import LANES


@dataclass
class Map:
    """A feature map of some blocks of images; zeros as wide as `margin` lie around it.

    Values and gradients are [G,C/pack,H,W,16,pack], and [G/2,C,H,W,32] where channels lie in pairs
    and sums over images need them apart.
    """

    channels: int
    height: int
    width: int
    pack: int
    margin: int = 0
    rectified: bool = False  # by the operation that made it

    @property
    def words(self) -> int:
        return -(-self.channels // self.pack)

    @property
    def row(self) -> int:
        return self.width + 2 * self.margin

    @property
    def plane(self) -> int:
        return self.row * (self.height + 2 * self.margin)

    @property
    def block(self) -> int:
        return self.words * self.plane

    @property
    def pair(self) -> int:
        """The size of what SPREAD makes of a pair of blocks."""
        return self.pack * self.block

    def planes(self, channels: int, offsets: Tensor | None = None) -> Tensor:
        """Offsets in each of so many channels or pairs of them; without any, its beginning."""
        start = torch.arange(channels)[:, None] * self.plane
        return (start if offsets is None else start + offsets).flatten()

    def allocate(self, blocks: int, dtype: torch.dtype) -> None:
        """Zeros for values and gradients."""
        size = (blocks, self.words, self.plane // self.row, self.row, LANES, self.pack)
        self.value, self.gradient = (torch.zeros(size, dtype=dtype) for _ in range(2))
        if self.pack > 1:
            self.value_apart, self.gradient_apart = map(torch.empty_like, (self.value,) * 2)
        else:
            self.value_apart, self.gradient_apart = self.value, self.gradient

    def inside(self, memory: Tensor) -> Tensor:
        """`memory` without the margin: [G,C/pack,H,W,16,pack]."""
        m = self.margin
        return memory[:, :, m : m + self.height, m : m + self.width]

    def images(self, memory: Tensor, blocks: int) -> Tensor:
        """A copy of `memory` as [C,H,W,B]."""
        whole = self.inside(memory)[:blocks].permute(1, 5, 2, 3, 0, 4)
        return whole.reshape(-1, self.height, self.width, blocks * LANES)[: self.channels]

    def fill(self, memory: Tensor, x_CHWB: Tensor) -> None:
        """Sets `memory` to the images."""
        x_CHWGL = x_CHWB.view(*x_CHWB.shape[:3], -1, LANES)
        inside = self.inside(memory)[: x_CHWGL.shape[3]]
        for half in range(self.pack):
            some = x_CHWGL[half :: self.pack].permute(3, 0, 1, 2, 4)
            inside[:, : some.shape[1], ..., half] = some

    def pixels(self, step: tuple[int, int] = (1, 1), start: tuple[int, int] = (0, 0),
               count: tuple[int, int] | None = None) -> Tensor:  # fmt: skip
        """Offsets of `count` pixels, so many rows and columns apart; else of all."""
        rows, columns = count or (self.height, self.width)
        row = torch.arange(rows) * step[0] + start[0] + self.margin
        column = torch.arange(columns) * step[1] + start[1] + self.margin
        return (row[:, None] * self.row + column).flatten()


class Product(NamedTuple):
    """What a MULTIPLY needs: `weight` [outputs, terms, taps] and `bias` number the parameters."""

    weight: Tensor
    bias: Tensor
    taps: Tensor
    at_x: Tensor
    at_y: Tensor


@dataclass(frozen=True)
class Join:
    """`weight` [small, large, kh, kw] and `bias` of one of the two number the parameters."""

    small: Map
    large: Map
    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]
    padding: int
    up: bool

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def before(self) -> Map:
        return self.small if self.up else self.large

    @property
    def after(self) -> Map:
        return self.large if self.up else self.small

    def widen(self) -> None:
        """Sees to it that whatever the taps reach is in the maps or their margins."""
        p = self.padding
        sides = ((self.small.height, self.large.height), (self.small.width, self.large.width))
        for (n, N), k, s in zip(sides, self.kernel, self.stride, strict=True):
            self.large.margin = max(self.large.margin, p, (n - 1) * s + k - p - N)
            self.small.margin = max(self.small.margin, (k - 1 - p) // s, (N - 1 + p) // s - n + 1)

    def down(self) -> Product:
        """From the large map to the small one."""
        kh, kw = self.kernel
        taps = (torch.arange(kh)[:, None] * self.large.row + torch.arange(kw)).flatten()
        corner = (-self.padding, -self.padding)
        at_x = self.large.pixels(self.stride, corner, (self.small.height, self.small.width))
        return Product(self.weight.flatten(2), self.bias.flatten(), taps, at_x,
                       self.small.pixels())  # fmt: skip

    def ups(self) -> Iterator[Product]:
        """From the small map to the large one: a product for the pixels of each phase."""
        for a in range(self.stride[0]):
            for b in range(self.stride[1]):
                rows, columns = (
                    [(n, (phase + self.padding - n) // s) for n in range(k)
                     if (phase + self.padding - n) % s == 0]
                    for phase, k, s in zip((a, b), self.kernel, self.stride, strict=True)
                )  # fmt: skip
                count = (-(-(self.large.height - a) // self.stride[0]),
                         -(-(self.large.width - b) // self.stride[1]))  # fmt: skip
                weight = self.weight[:, :, [i for i, _ in rows]][..., [j for j, _ in columns]]
                taps = [down * self.small.row + across for _, down in rows for _, across in columns]
                bias = self.bias if self.bias.ndim == 1 else self.bias[:, a, b]
                yield Product(
                    weight.transpose(0, 1).flatten(2), bias, torch.tensor(taps, dtype=torch.long),
                    self.small.pixels(count=count),
                    self.large.pixels(self.stride, (a, b), count),
                )  # fmt: skip
