"""What a denoiser learns to undo: drawn fresh for every batch, on float images in [0, 1].

Only `Once` gives an image the same noise in every epoch, as reports did that stored noisy images.

The reports' "0.1 on [-1, 1]" is a standard deviation of 0.05 here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training import seeds
from training.lines import Line


@dataclass(frozen=True, repr=False)
class Clean(Line):
    """Changes nothing."""

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        return x_BCHW

    @property
    def served(self) -> str | None:
        """The nearest corruption that the service can simulate; None for none."""
        return None


@dataclass(frozen=True, repr=False)
class Gaussian(Line):
    """Adds normal noise of standard deviation `std`; `clip` keeps the result in [0, 1]."""

    std: float
    clip: bool = True

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        noisy = x_BCHW + self.std * _normal(x_BCHW, generator)
        return noisy.clamp_(0, 1) if self.clip else noisy

    @property
    def served(self) -> str | None:
        return f"gaussian:{self.std:.4g}"


@dataclass(frozen=True, repr=False)
class GaussianUpTo(Line):
    """Adds noise of a level of each image's own, from `low` to `high`: a blind denoiser's.

    `typical` is the level it is scored at first. With `weaker` 1 every level is as likely as any
    other; with 2 half the images get a level from the lowest quarter. The errors left by strong
    noise are many times those left by weak noise, and drown them in the loss. `clipped` is the
    share of the images that are kept in [0, 1], as every stored image is; the literature's noise
    on photographs leaves it.
    """

    low: float
    high: float
    typical: float
    weaker: float = 1.0
    clipped: float = 1.0

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        level = torch.rand((len(x_BCHW), 1, 1, 1), generator=generator, device=x_BCHW.device)
        noise = _normal(x_BCHW, generator)
        level = self.low + (self.high - self.low) * level**self.weaker
        noisy = x_BCHW + level * noise
        if self.clipped == 1:
            return noisy.clamp_(0, 1)
        stored = torch.rand(level.shape, generator=generator, device=level.device) < self.clipped
        return torch.where(stored, noisy.clamp(0, 1), noisy)

    @property
    def served(self) -> str | None:
        return f"gaussian:{self.typical:.4g}"


@dataclass(frozen=True, repr=False)
class Jitter(Line):
    """Noise up to `high` that is no task: it keeps an encoder from learning its images by heart.

    Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    high: float

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        return GaussianUpTo(0.0, self.high, typical=self.high)(x_BCHW, generator)

    @property
    def served(self) -> str | None:
        """None, as of `Clean`: nobody would ask such a network to take noise off."""
        return None


@dataclass(frozen=True, repr=False)
class Occlusion(Line):
    """Blackens one square in each image, its side drawn from `low` to `high` pixels."""

    low: int
    high: int

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        B, _, H, W = x_BCHW.shape
        draw = torch.rand((3, B, 1), generator=generator, device=x_BCHW.device)
        side = self.low + (draw[0] * (self.high - self.low + 1)).long()
        top, left = (draw[1] * (H - side + 1)).long(), (draw[2] * (W - side + 1)).long()
        y, x = torch.arange(H, device=x_BCHW.device), torch.arange(W, device=x_BCHW.device)
        in_rows = (y >= top) & (y < top + side)
        in_columns = (x >= left) & (x < left + side)
        hidden_BHW = in_rows[:, :, None] & in_columns[:, None, :]
        return x_BCHW.masked_fill(hidden_BHW[:, None], 0)

    @property
    def served(self) -> str | None:
        return f"occlusion:{(self.low + self.high) // 2}"


@dataclass(frozen=True, repr=False)
class OneOf(Line):
    """Corrupts each image in one of several ways, each equally often."""

    ways: tuple[Clean | Gaussian | Occlusion, ...]

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        way = torch.randint(
            len(self.ways), (len(x_BCHW), 1, 1, 1), generator=generator, device=x_BCHW.device
        )
        mixed = x_BCHW
        for index, corrupt in enumerate(self.ways):
            mixed = torch.where(way == index, corrupt(x_BCHW, generator), mixed)
        return mixed

    @property
    def served(self) -> str | None:
        return next((way.served for way in self.ways if way.served), None)


@dataclass(frozen=True, repr=False)
class Once(Line):
    """Corrupts an image in every epoch as in the first, as if noisy images had been stored.

    Validation and test images are under the same noise every time anyway.
    """

    way: Gaussian | Occlusion | OneOf

    def __call__(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        return self.way(x_BCHW, generator)

    def again(self, x_BCHW: Tensor, index_B: Tensor, seed: int) -> Tensor:
        """The images, each under what belongs to its place `index_B` in the training set."""
        places = enumerate(index_B.tolist())
        own = [
            self.way(x_BCHW[n : n + 1], seeds.generator(seed, "once", place, x_BCHW.device))
            for n, place in places
        ]
        return torch.cat(own)

    @property
    def served(self) -> str | None:
        return self.way.served


Corruption = Clean | Gaussian | GaussianUpTo | Jitter | Occlusion | OneOf | Once


def learnt_from(
    corruption: Corruption, x_BCHW: Tensor, index_B: Tensor, generator: torch.Generator, seed: int
) -> Tensor:
    """A batch of training images, those at `index_B`, as a network sees them in this epoch."""
    if isinstance(corruption, Once):
        return corruption.again(x_BCHW, index_B, seed)
    return corruption(x_BCHW, generator)


def _normal(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise, channels last in memory as batches of images are.

    A sum of two layouts would cost the network its fast path; and torch fills a tensor that is not
    contiguous one number at a time, 28 times slower (64 colour pictures of 32x32, one core).
    """
    B, C, H, W = x_BCHW.shape
    noise_BHWC = torch.randn((B, H, W, C), generator=generator, device=x_BCHW.device)
    return noise_BHWC.permute(0, 3, 1, 2)


def shifted(x_BCHW: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Moves each image by up to `pixels` each way, black coming in at the edges."""
    if pixels == 0:
        return x_BCHW
    B, _, H, W = x_BCHW.shape
    offset_2B = torch.randint(2 * pixels + 1, (2, B, 1), generator=generator, device=x_BCHW.device)
    padded = torch.nn.functional.pad(x_BCHW, (pixels,) * 4)
    rows = offset_2B[0] + torch.arange(H, device=x_BCHW.device)
    columns = offset_2B[1] + torch.arange(W, device=x_BCHW.device)
    picture = torch.arange(B, device=x_BCHW.device)[:, None, None]
    x_BHWC = padded.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]]
    return x_BHWC.permute(0, 3, 1, 2)
