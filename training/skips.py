"""A U-Net without constants, for denoising; training/networks.py says why."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Module):
    """Two 3x3 convolutions around which the features may pass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, h_BCHW: Tensor) -> Tensor:
        h: Tensor = self.second(functional.relu(self.first(h_BCHW)))
        return h_BCHW + h


class _Scale(nn.Module):
    """Blocks on features of half the size and twice the width, and back."""

    def __init__(self, width: int, inner: nn.Module) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2, bias=False)
        self.inner = inner
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)

    def forward(self, h_BCHW: Tensor) -> Tensor:
        h: Tensor = self.up(self.inner(self.down(h_BCHW)))
        return h_BCHW + h


class NoiseEstimator(nn.Module):
    """Takes the noise that a residual U-Net finds off the image, of any size.

    It works at a half of the resolution and a quarter, and at an eighth too if `deep`.
    """

    def __init__(self, channels: int, width: int, fine: int, coarse: int, deep: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False)
        self.before = _blocks(width, fine)
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2, bias=False)
        middle = _blocks(2 * width, coarse)
        if deep:
            middle.append(_Scale(2 * width, _blocks(4 * width, deep)))
            middle.extend(_blocks(2 * width, coarse))
        self.middle = middle
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)
        self.after = _blocks(width, fine)
        self.leave = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, bias=False)
        self.multiple = 8 if deep else 4

    def forward(self, x_BCHW: Tensor) -> Tensor:
        H, W = x_BCHW.shape[2:]
        padding = (0, -W % self.multiple, 0, -H % self.multiple)
        padded = functional.pad(x_BCHW, padding, mode="replicate")
        fine = self.before(self.enter(padded))
        wide = fine + self.up(self.middle(self.down(fine)))
        noise: Tensor = self.leave(self.after(wide))
        return x_BCHW - noise[:, :, :H, :W]


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[_Block(width) for _ in range(count)])
