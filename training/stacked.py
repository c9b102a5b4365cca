"""N networks of one structure at once: parameters [N,P], features [N,C,H,W,B], batched products.

A convolution gathers what each tap of its kernel sees and multiplies; a transposed one multiplies
and scatters. Each is the other's gradient. Grouped convolutions, which are what torch.func.vmap
makes of this, train several times slower. The batch is innermost: a tap is then a copy of whole
rows, where channels innermost are 8 numbers at a time (R2's gathers 1.1 ms against 6.0, one core).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from training.networks import Affine, Autoencoder, Heads

# What a layer makes of each number by itself, whatever the axes are.
_POINTWISE = (
    nn.ReLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.LeakyReLU, nn.Identity, Affine
)  # fmt: skip
_LAYERS = (
    *_POINTWISE, nn.Linear, nn.Conv2d, nn.ConvTranspose2d, Heads, nn.Flatten, nn.Unflatten
)  # fmt: skip

# Where torch's functions leave what their gradient needs, by any name.
_Context = Any


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
    layers = (*_sequence(net.encoder), *_sequence(net.decoder))
    return all(isinstance(layer, _LAYERS) for layer in layers)


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
    N, _, H, W, B = x_NCHWB.shape
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    reach = kernel - 2 * padding
    if isinstance(layer, nn.Conv2d):
        small = ((H - reach) // stride + 1, (W - reach) // stride + 1)
        taps = _Taps(kernel, stride, padding, small, (H, W))
        seen: Tensor = _Gather.apply(x_NCHWB, taps)
        y = torch.baddbmm(bias_NO[..., None], weight.flatten(2), seen)
        return y.view(N, -1, *small, B)
    extra = layer.output_padding
    large = (stride * (H - 1) + reach + extra[0], stride * (W - 1) + reach + extra[1])
    taps = _Taps(kernel, stride, padding, (H, W), large)
    given = torch.bmm(weight.flatten(2).mT, x_NCHWB.flatten(2))
    images: Tensor = _Scatter.apply(given, taps)
    return images + bias_NO[..., None, None, None]


class _Taps(NamedTuple):
    """Which pixels of the `large` image each tap of a kernel joins to those of the `small`."""

    kernel: int
    stride: int
    padding: int
    small: tuple[int, int]
    large: tuple[int, int]

    def views(self, padded_NCHWB: Tensor) -> Iterable[tuple[int, int, Tensor]]:
        rows, columns = ((side - 1) * self.stride + 1 for side in self.small)
        for i in range(self.kernel):
            for j in range(self.kernel):
                view = padded_NCHWB[:, :, i : i + rows, j : j + columns]
                yield i, j, view[:, :, :: self.stride, :: self.stride]

    def gather(self, x_NCHWB: Tensor) -> Tensor:
        """[N,C*K*K,h*w*B] of [N,C,H,W,B]."""
        p = self.padding
        padded = functional.pad(x_NCHWB, (0, 0, p, p, p, p)) if p else x_NCHWB
        N, C, *_, B = x_NCHWB.shape
        seen = x_NCHWB.new_empty(N, C, self.kernel, self.kernel, *self.small, B)
        for i, j, view in self.views(padded):
            seen[:, :, i, j] = view
        return seen.view(N, C * self.kernel**2, -1)

    def scatter(self, given: Tensor) -> Tensor:
        """[N,C,H,W,B] of [N,C*K*K,h*w*B]: the sum of what is given to each pixel."""
        N, p, (H, W) = len(given), self.padding, self.large
        B = given.shape[2] // prod(self.small)
        parts = given.view(N, -1, self.kernel, self.kernel, *self.small, B)
        sides = [
            max(large + 2 * p, (small - 1) * self.stride + self.kernel)
            for large, small in zip(self.large, self.small, strict=True)
        ]
        padded = given.new_zeros(N, parts.shape[1], *sides, B)
        for i, j, view in self.views(padded):
            view.add_(parts[:, :, i, j])
        return padded[:, :, p : p + H, p : p + W]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x_NCHWB: Tensor, taps: _Taps) -> Tensor:
        ctx.taps = taps
        return taps.gather(x_NCHWB)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.taps.scatter(grad.contiguous()), None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, given: Tensor, taps: _Taps) -> Tensor:
        ctx.taps = taps
        return taps.scatter(given)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.taps.gather(grad), None
