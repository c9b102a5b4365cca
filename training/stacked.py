"""N networks of one structure at once: parameters [N,P], features [N,C,H,W,B], batched products.

Convolutions are products too (training/taps.py). Grouped convolutions, which are what
torch.func.vmap makes of this, train several times slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.networks import Affine, Autoencoder, Heads
from training.taps import Convolution, Transposed, taps_of

# What a layer makes of each number by itself, whatever the axes are.
_POINTWISE = (
    nn.ReLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.LeakyReLU, nn.Identity, Affine
)  # fmt: skip
_LAYERS = (
    *_POINTWISE, nn.Linear, nn.Conv2d, nn.ConvTranspose2d, Heads, nn.Flatten, nn.Unflatten
)  # fmt: skip


class Answers(NamedTuple):
    """Images [N,C,H,W,B]; means and log variances [N,D,B] too if the networks are variational."""

    images: Tensor
    mean: Tensor | None
    log_variances: Tensor | None


class Stacked:
    """Runs N networks of the structure of `net` on parameters [N,P], in the order of `net`'s."""

    def __init__(self, net: Autoencoder) -> None:
        assert stacks(net), "ensemble.fits says so before anything begins"
        self.net = net
        self.sizes = [parameter.numel() for parameter in net.parameters()]

    def __call__(
        self, weights_NP: Tensor, x_NCHWB: Tensor, noise: Iterable[torch.Generator] = ()
    ) -> Answers:
        """Encodes and decodes; variational networks sample, each by its own of `noise` if given."""
        pieces = zip(torch.split(weights_NP, self.sizes, 1), self.net.parameters(), strict=True)
        weights = iter([piece.view(-1, *parameter.shape) for piece, parameter in pieces])
        mean = log_variances = None
        h = x_NCHWB
        for layer in _sequence(self.net.encoder):
            if isinstance(layer, Heads):
                mean, log_variances = _linear(h, weights), _linear(h, weights)
                h = _sample(mean, log_variances, noise)
            else:
                h = _apply(layer, h, weights)
        for layer in _sequence(self.net.decoder):
            h = _apply(layer, h, weights)
        return Answers(h, mean, log_variances)


def stacks(net: Autoencoder) -> bool:
    """Whether networks of that structure can be stacked."""
    return all(isinstance(layer, _LAYERS) for layer in layers_of(net))


def layers_of(net: Autoencoder) -> list[nn.Module]:
    """Its layers one after the other."""
    return [*_sequence(net.encoder), *_sequence(net.decoder)]


def _sequence(module: nn.Module) -> Iterable[nn.Module]:
    return module if isinstance(module, nn.Sequential) else (module,)


def _sample(
    mean_NDB: Tensor, log_variances_NDB: Tensor, noise: Iterable[torch.Generator]
) -> Tensor:
    """As a network alone does, which draws its noise as [B,D]."""
    _, D, B = mean_NDB.shape
    device = mean_NDB.device
    drawn = [torch.randn((B, D), generator=each, device=device).T for each in noise]
    if not drawn:
        return mean_NDB
    return mean_NDB + torch.stack(drawn) * torch.exp(0.5 * log_variances_NDB)


def _apply(layer: nn.Module, h: Tensor, weights: Iterator[Tensor]) -> Tensor:
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            return _convolve(layer, h, next(weights), next(weights))
        case nn.Linear():
            return _linear(h, weights)
        case nn.Flatten():
            return h.flatten(1, -2)
        case nn.Unflatten():
            return h.view(len(h), *layer.unflattened_size, h.shape[-1])
    answer: Tensor = layer(h)
    return answer


def _linear(h_NIB: Tensor, weights: Iterator[Tensor]) -> Tensor:
    weight_NOI, bias_NO = next(weights), next(weights)
    return torch.baddbmm(bias_NO[..., None], weight_NOI, h_NIB)


def _convolve(
    layer: nn.Conv2d | nn.ConvTranspose2d, x_NCHWB: Tensor, weight: Tensor, bias_NO: Tensor
) -> Tensor:
    device = x_NCHWB.device.type
    if torch.is_autocast_enabled(device):
        x_NCHWB = x_NCHWB.to(torch.get_autocast_dtype(device))
    taps = taps_of(layer, (x_NCHWB.shape[2], x_NCHWB.shape[3]))
    way = Convolution if isinstance(layer, nn.Conv2d) else Transposed
    images: Tensor = way.apply(x_NCHWB, weight.flatten(2), bias_NO, taps)
    return images
