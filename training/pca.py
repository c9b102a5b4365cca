"""Principal components: the best linear autoencoder, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.data import Images
from training.networks import Autoencoder

# A deviation below this is what rounding leaves of a pixel that is the same in every image.
_NEVER = 1e-6


@dataclass(frozen=True)
class Components:
    """The mean image `[P]` and the directions of greatest variance, greatest first `[D,P]`.

    Pixels are divided by `scale` `[P]` first, which is 1 but for standardised ones.
    """

    mean: Tensor
    directions: Tensor
    scale: Tensor

    def encode(self, flat_NP: Tensor) -> Tensor:
        return (flat_NP - self.mean) / self.scale @ self.directions.T

    def decode(self, latents_ND: Tensor) -> Tensor:
        return latents_ND @ self.directions * self.scale + self.mean


def fill(net: Autoencoder, images: Images) -> None:
    """Gives a network of the family Pca the components of `images`."""
    encode, decode = (part for part in net.modules() if isinstance(part, nn.Linear))
    components = fit(images, encode.out_features)
    with torch.no_grad():
        encode.weight.copy_(components.directions)
        encode.bias.copy_(-components.directions @ components.mean)
        decode.weight.copy_(components.directions.T)
        decode.bias.copy_(components.mean)


def fit(images: Images, latents: int, *, standardised: bool = False) -> Components:
    """Centres and keeps `latents` directions; float64 throughout.

    `standardised` divides every pixel by its deviation as well, so that one that is hardly ever
    lit counts as much as any other; one that never changes is left as it is.

    The sign of a direction is free: its largest entry is made positive, so that the same images
    give the same components everywhere.
    """
    pixels = images.pixels[0].numel()
    mean = torch.zeros(pixels, dtype=torch.float64)
    second = torch.zeros(pixels, pixels, dtype=torch.float64)
    for start in range(0, len(images), 5000):
        flat = images.batch(slice(start, start + 5000)).flatten(1).cpu().double()
        mean += flat.sum(0)
        second += flat.T @ flat
    mean /= len(images)
    covariance = second / len(images) - torch.outer(mean, mean)
    scale = torch.ones_like(mean)
    if standardised:
        deviation = covariance.diagonal().clamp_min(0).sqrt()
        scale = torch.where(deviation > _NEVER, deviation, scale)
    _, vectors = torch.linalg.eigh(covariance / torch.outer(scale, scale))
    directions = vectors.flip(1)[:, :latents].T
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return Components(mean, directions * largest.sign(), scale)
