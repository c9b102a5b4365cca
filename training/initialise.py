"""First weights: where a network starts decides whether some of them train at all (R0, R4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks import Autoencoder, Family, Shape

_Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def build(family: Family, shape: Shape, init: str, seed: int) -> Autoencoder:
    """The network of `family` for images of `shape`, its weights drawn from `seed`.

    `init` is torch (its default), orthogonal, kaiming, xavier, or data, which draws orthogonal
    weights that `standardise` must then scale.

    Raises:
        ValueError: there is no such initialisation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = family(shape)
        if init != "torch":
            for layer in net.modules():
                if isinstance(layer, _Layer):
                    _draw(layer, init)
    return net


def _draw(layer: _Layer, init: str) -> None:
    if init in ("orthogonal", "data"):
        nn.init.orthogonal_(layer.weight, 2**0.5)
    elif init == "kaiming":
        _kaiming(layer)
    elif init == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    else:
        raise ValueError(f"no initialisation {init!r}: torch, orthogonal, kaiming, xavier, data")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _kaiming(layer: _Layer) -> None:
    """He et al. 2015, with the fan-in that a transposed convolution really has.

    A stride of 2 lets only a quarter of the taps reach any one output pixel, and torch's own
    count takes the output channels for the inputs.
    """
    fan = layer.weight.numel() / layer.weight.shape[0]
    if isinstance(layer, nn.ConvTranspose2d):
        taps = layer.kernel_size[0] * layer.kernel_size[1]
        fan = layer.weight.shape[0] * taps / (layer.stride[0] * layer.stride[1])
    nn.init.normal_(layer.weight, std=(2 / fan) ** 0.5)


@torch.no_grad()
def standardise(net: Autoencoder, x_BCHW: Tensor, mean: float) -> None:
    """Scales every layer so that each of its channels has mean 0 and deviation 1 on a batch.

    What batch norm does at the first step, without being there afterwards (Mishkin and Matas
    2016, "All you need is a good init"). The last layer starts at the `mean` of the images, so
    that it need not rush to black and take the network with it.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, _Layer)]
    for layer in layers:
        hook = layer.register_forward_hook(_scale)
        net(x_BCHW)
        hook.remove()
    last = layers[-1]
    assert last.bias is not None
    last.bias += torch.logit(torch.tensor(mean, device=last.bias.device))


def _scale(layer: nn.Module, _inputs: object, output: Tensor) -> None:
    assert isinstance(layer, _Layer)
    rest = [axis for axis in range(output.ndim) if axis != 1]
    deviation = output.std(rest).clamp_min(1e-3)
    # Transposed convolutions keep their output channels second.
    shape = [1] * layer.weight.ndim
    shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0] = -1
    layer.weight /= deviation.reshape(shape)
    assert layer.bias is not None
    layer.bias -= output.mean(rest)
    layer.bias /= deviation
