"""A U-Net of two scales without constants, for denoising; training/networks.py says why."""

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


class NoiseEstimator(nn.Module):
    """Takes the noise that a residual U-Net of two scales finds off the image, of any size."""

    def __init__(self, channels: int, width: int, fine: int, coarse: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False)
        self.before = nn.Sequential(*[_Block(width) for _ in range(fine)])
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2, bias=False)
        self.middle = nn.Sequential(*[_Block(2 * width) for _ in range(coarse)])
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)
        self.after = nn.Sequential(*[_Block(width) for _ in range(fine)])
        self.leave = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        H, W = x_BCHW.shape[2:]
        padded = functional.pad(x_BCHW, (0, -W % 4, 0, -H % 4), mode="replicate")
        fine = self.before(self.enter(padded))
        wide = fine + self.up(self.middle(self.down(fine)))
        noise: Tensor = self.leave(self.after(wide))
        return x_BCHW - noise[:, :, :H, :W]
