"""The families of networks: frozen dataclasses that are called with an image shape.

A family prints itself, so a recipe's repr is all that is needed to build its network again.
Every network takes and gives float [B,C,H,W] in [0, 1]; one that wants [-1, 1] scales inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.lines import Line
from training.skips import NoiseEstimator
from training.strided import Down, Up

Activation = Literal["relu", "gelu", "sigmoid", "tanh", "silu", "leaky", "linear"]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "leaky": nn.LeakyReLU,
    "linear": nn.Identity,
}


class Shape(NamedTuple):
    """The images a network is built for."""

    channels: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.channels * self.height * self.width


class Output(NamedTuple):
    """Images [B,C,H,W]; a mean and log variances [B,D] too if the network is variational."""

    images: Tensor
    mean: Tensor | None
    log_variances: Tensor | None


class Autoencoder(nn.Module):
    """An encoder and a decoder; a variational encoder gives a pair of tensors.

    `smallest` is 0 if height and width must be those it was built for, else the least it takes;
    `bottleneck` says that there are fewer latents than pixels, so that points between latents
    mean something; `encodes` that the latents are something other than the image itself.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        variational: bool = False,
        smallest: int = 0,
        bottleneck: bool = True,
        encodes: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.variational = variational
        self.smallest = smallest
        self.bottleneck = bottleneck
        self.encodes = encodes

    def forward(self, x_BCHW: Tensor, generator: torch.Generator | None = None) -> Output:
        """Encodes and decodes; a variational network samples its latents if given a generator."""
        if not self.variational:
            return Output(self.decoder(self.encoder(x_BCHW)), None, None)
        mean_BD, log_variances_BD = self.encoder(x_BCHW)
        latents_BD = mean_BD
        if generator is not None:
            noise = torch.randn(mean_BD.shape, generator=generator, device=mean_BD.device)
            latents_BD = mean_BD + noise * torch.exp(0.5 * log_variances_BD)
        return Output(self.decoder(latents_BD), mean_BD, log_variances_BD)

    @property
    def any_size(self) -> bool:
        return self.smallest > 0

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


class Heads(nn.Module):
    """Two linear maps from the same features: means and log variances."""

    def __init__(self, features: int, latents: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latents)
        self.log_variances = nn.Linear(features, latents)

    def forward(self, h_BF: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(h_BF), self.log_variances(h_BF)


class Affine(nn.Module):
    """Multiplies by `scale` and adds `offset`, both fixed."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


class Resize(nn.Module):
    """Bilinear interpolation to a fixed size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return functional.interpolate(x_BCHW, self.size, mode="bilinear", align_corners=False)


@dataclass(frozen=True, repr=False)
class Mlp(Line):
    """Dense layers of the given widths, the last being the latents, and their mirror image.

    `latent` is the activation on the latents: R4 has "relu" there too, R1 "sigmoid".
    """

    widths: tuple[int, ...]
    activation: Activation = "relu"
    latent: Activation = "relu"
    dropout: float = 0.0
    variational: bool = False

    def __call__(self, shape: Shape) -> Autoencoder:
        sizes = (shape.pixels, *self.widths)
        hidden = sizes[:-1] if self.variational else sizes
        encoder: list[nn.Module] = [nn.Flatten()]
        for index, (before, after) in enumerate(pairwise(hidden)):
            last = index == len(self.widths) - 1
            kind = self.latent if last else self.activation
            encoder += [nn.Linear(before, after), _ACTIVATIONS[kind]()]
            if self.dropout and not last:
                encoder.append(nn.Dropout(self.dropout))
        if self.variational:
            encoder.append(Heads(sizes[-2], sizes[-1]))
        decoder: list[nn.Module] = []
        for before, after in pairwise(sizes[:0:-1]):
            decoder += [nn.Linear(before, after), _ACTIVATIONS[self.activation]()]
        decoder += [nn.Linear(sizes[1], sizes[0]), nn.Sigmoid(), nn.Unflatten(1, shape)]
        return Autoencoder(
            nn.Sequential(*encoder), nn.Sequential(*decoder), variational=self.variational
        )


@dataclass(frozen=True, repr=False)
class Conv(Line):
    """Convolutions of stride 2 and their mirror image, around dense layers (R2) or none (R0).

    With `latents` None the latents are the last feature map. `paddings` None pads every layer
    by 1. `hidden` None goes from the features to the latents in one step. `overshoot` doubles
    the size at every decoder layer and resizes the result, as R0's code does, in place of
    meeting the sizes exactly.
    """

    channels: tuple[int, ...]
    latents: int | None = None
    variational: bool = False
    hidden: int | None = 64
    paddings: tuple[int, ...] | None = None
    activation: Activation = "relu"
    batch_norm: bool = False
    dropout: float = 0.0
    overshoot: bool = False

    def __call__(self, shape: Shape) -> Autoencoder:
        paddings = self.paddings or (1,) * len(self.channels)
        channels = (shape.channels, *self.channels)
        sizes = [(shape.height, shape.width)]
        encoder: list[nn.Module] = []
        for before, after, padding in zip(channels[:-1], channels[1:], paddings, strict=True):
            encoder.append(Down(before, after, 3, padding))
            encoder += self._after(after)
            height, width = sizes[-1]
            sizes.append(((height + 2 * padding - 3) // 2 + 1, (width + 2 * padding - 3) // 2 + 1))
        decoder: list[nn.Module] = []
        if self.latents is not None:
            folded = (channels[-1], *sizes[-1])
            features = folded[0] * folded[1] * folded[2]
            widths = [features, *([self.hidden] if self.hidden else []), self.latents]
            encoder.append(nn.Flatten())
            for before, after in pairwise(widths[:-1]):
                encoder += [nn.Linear(before, after), _ACTIVATIONS[self.activation]()]
            head = Heads if self.variational else nn.Linear
            encoder.append(head(widths[-2], widths[-1]))
            for before, after in pairwise(widths[::-1]):
                decoder += [nn.Linear(before, after), _ACTIVATIONS[self.activation]()]
            decoder.append(nn.Unflatten(1, folded))
        for layer in range(len(self.channels), 0, -1):
            last = layer == 1
            before, after = channels[layer], channels[layer - 1]
            decoder.append(self._upward(before, after, paddings[layer - 1], sizes, layer))
            decoder += [nn.Sigmoid()] if last else self._after(after)
        if self.overshoot:
            decoder.append(Resize(shape.height, shape.width))
        return Autoencoder(
            nn.Sequential(*encoder), nn.Sequential(*decoder), variational=self.variational
        )

    def _after(self, channels: int) -> list[nn.Module]:
        norm: list[nn.Module] = [nn.BatchNorm2d(channels)] if self.batch_norm else []
        drop: list[nn.Module] = [nn.Dropout(self.dropout)] if self.dropout else []
        return [*norm, _ACTIVATIONS[self.activation](), *drop]

    def _upward(
        self, before: int, after: int, padding: int, sizes: list[tuple[int, int]], layer: int
    ) -> nn.ConvTranspose2d:
        small, large = sizes[layer], sizes[layer - 1]
        if self.overshoot:
            extra: tuple[int, int] = (1, 1)
        else:
            extra = (
                large[0] - (2 * (small[0] - 1) - 2 * padding + 3),
                large[1] - (2 * (small[1] - 1) - 2 * padding + 3),
            )
        return Up(before, after, 3, padding, extra)


@dataclass(frozen=True, repr=False)
class Valid(Line):
    """R3: 3x3 convolutions without padding and as many transposed ones, any image size.

    Works on [-1, 1]. The latents outnumber the pixels, so nothing is compressed.
    """

    channels: tuple[int, ...]
    activation: Activation = "relu"

    def __call__(self, shape: Shape) -> Autoencoder:
        channels = (shape.channels, *self.channels)
        encoder: list[nn.Module] = [Affine(2, -1)]
        decoder: list[nn.Module] = []
        for before, after in pairwise(channels):
            encoder += [nn.Conv2d(before, after, 3), _ACTIVATIONS[self.activation]()]
        for before, after in pairwise(channels[::-1]):
            decoder += [nn.ConvTranspose2d(before, after, 3), _ACTIVATIONS[self.activation]()]
        decoder[-1] = nn.Tanh()
        decoder.append(Affine(0.5, 0.5))
        return Autoencoder(
            nn.Sequential(*encoder),
            nn.Sequential(*decoder),
            smallest=2 * len(self.channels) + 1,
            bottleneck=False,
        )


@dataclass(frozen=True, repr=False)
class SkipNet(Line):
    """A residual U-Net that estimates the noise and takes it away, any image size.

    It works at half the resolution and a quarter, as FFDNet does for speed (Zhang et al. 2018),
    and adds no constants, so that it bears noise levels it has not seen (Mohan et al. 2020).
    `fine` and `coarse` count the blocks of two convolutions at these scales, on the way down and
    on the way up; `deep` ones at an eighth see what strong noise hides from a smaller view.
    The skips carry more than any latents would: the encoder is the whole network, the latents are
    the clean image before it is rounded, and the decoder rounds it.
    """

    width: int
    fine: int = 1
    coarse: int = 2
    deep: int = 0

    def __call__(self, shape: Shape) -> Autoencoder:
        net = NoiseEstimator(shape.channels, self.width, self.fine, self.coarse, self.deep)
        return Autoencoder(net, nn.Identity(), smallest=1, bottleneck=False, encodes=False)


@dataclass(frozen=True, repr=False)
class Pca(Line):
    """Principal components: a linear autoencoder that training/pca.py fits in closed form."""

    latents: int

    def __call__(self, shape: Shape) -> Autoencoder:
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(shape.pixels, self.latents))
        decoder = nn.Sequential(nn.Linear(self.latents, shape.pixels), nn.Unflatten(1, shape))
        return Autoencoder(encoder, decoder)


Family = Mlp | Conv | Valid | SkipNet | Pca
