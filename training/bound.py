"""The best linear variational autoencoder by R2's loss, in closed form: a baseline for theirs.

R2 makes (sum of squared errors + KL) small, as a decoder of variance 1/2 would. Among linear ones
the best are the principal components whose variance is above that (Tipping and Bishop 1999; Lucas
and others 2019); the bound is tight there, so no latents need be drawn.
"""

from __future__ import annotations

import torch

from training import pca
from training.data import Images

# The variance at which half a squared error over it is the squared error itself.
_VARIANCE = 0.5


def linear(train: Images, test: Images, latents: int) -> float:
    """Its mean loss per pixel on the test images, fitted on the training images."""
    components = pca.fit(train, latents)
    learnt_ND, _ = _projected(components, train)
    variance_D = learnt_ND.square().mean(0)
    used = variance_D > _VARIANCE
    latents_ND, off_N = _projected(components, test)
    square_ND = latents_ND.square()
    kept_ND = 0.5 * (square_ND / variance_D + (variance_D / _VARIANCE).log())
    loss_N = off_N + torch.where(used, kept_ND, square_ND).sum(1)
    return float(loss_N.mean()) / test.pixels[0].numel()


def _projected(components: pca.Components, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
    """The components of images [N,D], and the squared length [N] of what they leave."""
    parts = []
    for place in images.slices(5000):
        flat_NP = images.batch(place).flatten(1).double()
        latents_ND = components.encode(flat_NP)
        whole_N = (flat_NP - components.mean).square().sum(1)
        parts.append((latents_ND, whole_N - latents_ND.square().sum(1)))
    latents, off = zip(*parts, strict=True)
    return torch.cat(latents), torch.cat(off)
