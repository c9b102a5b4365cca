"""A network as feature maps and the steps between them, for training/fused.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.joins import Join, Map
from training.networks import Autoencoder, Heads, Shape
from training.stacked import layers_of

_WEIGHTY = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, Heads)


class Pointwise:
    """What treats each number by itself: torch does that, and its derivative."""

    def __init__(self, layer: nn.Module, x: Map, y: Map) -> None:
        self.layer, self.x, self.y = layer, x, y

    def forward(self, blocks: int) -> None:
        """Fills the map after it."""
        with torch.enable_grad():
            self.before = self.x.inside(self.x.value)[:blocks].clone().requires_grad_()
            self.after: Tensor = self.layer(self.before)
        self.y.inside(self.y.value)[:blocks] = self.after.detach()

    def backward(self, blocks: int) -> None:
        """Gives the gradient of the map before it."""
        given = self.y.inside(self.y.gradient)[:blocks]
        (found,) = torch.autograd.grad(self.after, self.before, given)
        self.x.inside(self.x.gradient)[:blocks] = found


class Sampling:
    """Latents drawn about their means, by noise [D,B]; what it costs is the divergence [D,B]."""

    def __init__(self, heads: Map, latents: Map) -> None:
        self.heads, self.latents = heads, latents

    def prepare(self, noise_BD: Tensor, count: int, kl: float) -> None:
        """Takes the noise of some of `count` images, and the weight of their divergence."""
        nothing = (0, count - len(noise_BD))
        self.noise = functional.pad(noise_BD.T, nothing)
        self.kl = functional.pad(torch.full_like(noise_BD.T, kl), nothing)

    def forward(self, blocks: int) -> None:
        """Fills the map of the latents."""
        with torch.enable_grad():
            self.both = self.heads.images(self.heads.value, blocks).flatten(0, 2).float()
            mean, log_variances = self.both.requires_grad_().tensor_split(2)
            self.drawn = mean + self.noise * torch.exp(0.5 * log_variances)
            self.cost = 0.5 * (mean.square() + log_variances.exp() - 1 - log_variances)
        self.latents.fill(self.latents.value, self.drawn.detach()[:, None, None])

    def backward(self, blocks: int) -> None:
        """Gives the gradient of the means and log variances."""
        given = self.latents.images(self.latents.gradient, blocks).flatten(0, 2).float()
        (found,) = torch.autograd.grad([self.drawn, self.cost], self.both, [given, self.kl])
        self.heads.fill(self.heads.gradient, found[:, None, None])


Step = Join | Pointwise | Sampling


class Plan:
    """The maps and steps of a network whose channels lie `pack` by `pack`."""

    def __init__(self, net: Autoencoder, shape: Shape, pack: int) -> None:
        self.pack = pack
        self.maps = [Map(*shape, pack)]
        self.count = sum(parameter.numel() for parameter in net.parameters())
        layers = [layer for layer in layers_of(net) if not isinstance(layer, nn.Identity)]
        # The last sigmoid is the loss's (training/program.py).
        self.sigmoid = isinstance(layers[-1], nn.Sigmoid)
        sizes = [parameter.numel() for parameter in net.parameters()]
        numbers = torch.split(torch.arange(self.count), sizes)
        pairs = zip(numbers, net.parameters(), strict=True)
        self._numbers = iter([each.view(parameter.shape) for each, parameter in pairs])
        self.steps = list(self._steps(layers[:-1] if self.sigmoid else layers))
        for join in self.joins:
            join.widen()

    @property
    def joins(self) -> list[Join]:
        """The steps that have weights."""
        return [step for step in self.steps if isinstance(step, Join)]

    def _steps(self, layers: Sequence[nn.Module]) -> Iterator[Step]:
        step: Step | None = None
        for place, layer in enumerate(layers):
            x, after = self.maps[-1], layers[place + 1 :]
            if isinstance(layer, nn.Flatten | nn.Unflatten):
                continue
            if isinstance(layer, nn.ReLU) and isinstance(step, Join) and _next_has_weights(after):
                x.rectified = True
                continue
            match layer:
                case nn.Conv2d() | nn.ConvTranspose2d():
                    step = self._convolution(layer, x)
                case nn.Linear():
                    step = self._dense(x, next(self._numbers), next(self._numbers), after)
                case Heads():
                    pairs = [(next(self._numbers), next(self._numbers)) for _ in range(2)]
                    weight, bias = map(torch.cat, zip(*pairs, strict=True))
                    yield self._dense(x, weight, bias, ())
                    step = Sampling(self.maps[-1], self._map(layer.mean.out_features))
                case _:
                    step = Pointwise(layer, x, self._map(x.channels, x.height, x.width))
            yield step

    def _map(self, channels: int, height: int = 1, width: int = 1) -> Map:
        self.maps.append(Map(channels, height, width, self.pack))
        return self.maps[-1]

    def _convolution(self, layer: nn.Conv2d | nn.ConvTranspose2d, x: Map) -> Join:
        weight, bias = next(self._numbers), next(self._numbers)
        k, s, p = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        if isinstance(layer, nn.Conv2d):
            y = self._map(len(weight), *((n + 2 * p - k) // s + 1 for n in (x.height, x.width)))
            return Join(y, x, weight, bias, (s, s), p, up=False)
        sides = zip((x.height, x.width), layer.output_padding, strict=True)
        y = self._map(weight.shape[1], *(s * (n - 1) + k - 2 * p + extra for n, extra in sides))
        return Join(x, y, weight, bias, (s, s), p, up=True)

    def _dense(self, x: Map, weight: Tensor, bias: Tensor, after: Sequence[nn.Module]) -> Join:
        unfolded = next((n for n in after if isinstance(n, (*_WEIGHTY, nn.Unflatten))), None)
        if isinstance(unfolded, nn.Unflatten):
            shape = Shape(*unfolded.unflattened_size)
            weight = weight.T.reshape(-1, *shape)
            return Join(x, self._map(*shape), weight, bias.view(shape), shape[1:], 0, up=True)
        weight = weight.view(-1, x.channels, x.height, x.width)
        return Join(self._map(len(weight)), x, weight, bias, (x.height, x.width), 0, up=False)


def _next_has_weights(layers: Sequence[nn.Module]) -> bool:
    reshaping = (nn.Flatten, nn.Unflatten)
    return isinstance(next((n for n in layers if not isinstance(n, reshaping)), None), _WEIGHTY)
