"""Networks of narrow convolutions on a CPU: forward and back for 64 images at a time.

What a block of images needs stays in the processor's caches from the first layer to the gradient,
and training/kernel.c does all that has weights. The answers are those of training/stacked.py but
for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from training.joins import Join, Map
from training.kernel import LANES, Operation
from training.networks import Autoencoder, Heads, Shape
from training.program import Program

# Blocks of 16 images, from the first layer to the gradient.
_BLOCKS = 4
_IMAGES = _BLOCKS * LANES

_Stage = Callable[[int], None]


class Point:
    """What treats every number by itself: torch does that, and its derivative."""

    def __init__(self, layer: nn.Module, x: Map, y: Map) -> None:
        self.layer, self.x, self.y = layer, x, y

    def forward(self, blocks: int) -> None:
        self.before = self.x.inside(self.x.value)[:blocks].clone().requires_grad_()
        with torch.enable_grad():
            self.after = self.layer(self.before)
        self.y.inside(self.y.value)[:blocks] = self.after.detach()

    def backward(self, blocks: int) -> None:
        given = self.y.inside(self.y.gradient)[:blocks]
        (found,) = torch.autograd.grad(self.after, self.before, given)
        self.x.inside(self.x.gradient)[:blocks] = found


class Sample:
    """Latents drawn about their means; `noise` [D,B] and `kl`, the weight of their divergence."""

    def __init__(self, heads: Map, latents: Map) -> None:
        self.heads, self.latents = heads, latents

    def forward(self, blocks: int) -> None:
        D = self.latents.channels
        self.both = self.heads.images(self.heads.value, blocks).float()[:, 0, 0].requires_grad_()
        with torch.enable_grad():
            mean, log_variances = self.both[:D], self.both[D:]
            self.drawn = mean + self.noise * torch.exp(0.5 * log_variances)
            self.divergence = 0.5 * (mean.square() + log_variances.exp() - 1 - log_variances)
        self.latents.fill(self.latents.value, self.drawn.detach()[:, None, None])

    def backward(self, blocks: int) -> None:
        given = self.latents.images(self.latents.gradient, blocks).float()[:, 0, 0]
        (found,) = torch.autograd.grad(
            [self.drawn, self.divergence], self.both, [given, self.kl.expand_as(given)]
        )
        self.heads.fill(self.heads.gradient, found[:, None, None])


class Fused:
    """One network's forward and backward pass, in float32 or bfloat16, on weights [P]."""

    def __init__(self, net: Autoencoder, shape: Shape, *, bf16: bool = False) -> None:
        self.count = sum(parameter.numel() for parameter in net.parameters())
        self.program = Program(self.count, _BLOCKS, bf16=bf16)
        self.images = Map(*shape, self.program.pack)
        self.maps = [self.images]
        self.sample: Sample | None = None
        steps = list(self._steps(net))
        for step in steps:
            if isinstance(step, Join):
                step.widen()
        for each in self.maps:
            each.allocate(_BLOCKS, self.program.dtype)
        self.answer = self.maps[-1]
        forward = [stage for step in steps for stage in self._forward(step)]
        backward = [stage for step in self._learning(steps) for stage in self._backward(step)]
        self.program.link()
        self.forward, self.backward = self._stages(forward), self._stages(backward)

    def _map(self, channels: int, height: int = 1, width: int = 1) -> Map:
        self.maps.append(Map(channels, height, width, self.program.pack))
        return self.maps[-1]

    def _steps(self, net: Autoencoder) -> Iterator[Join | Point | Sample]:
        parts = [list(p) if isinstance(p, nn.Sequential) else [p] for p in (net.encoder, net.decoder)]
        layers = [layer for part in parts for layer in part]
        sizes = [parameter.numel() for parameter in net.parameters()]
        numbers = iter([piece.view(p.shape) for piece, p in
                        zip(torch.arange(self.count).split(sizes), net.parameters(), strict=True)])
        x = self.images
        for place, layer in enumerate(layers):
            after = layers[place + 1 :]
            match layer:
                case nn.Flatten() | nn.Unflatten() | nn.Identity():
                    continue
                case nn.ReLU() if self._can_rectify(step, after):
                    x.rectified = True
                    continue
                case nn.Conv2d() | nn.ConvTranspose2d():
                    step = self._convolution(layer, x, next(numbers), next(numbers))
                case nn.Linear():
                    step = self._dense(x, next(numbers), next(numbers), _unfolded(after))
                case Heads():
                    weights, biases = zip(*[(next(numbers), next(numbers)) for _ in range(2)])
                    heads = self._dense(x, torch.cat(weights), torch.cat(biases), None)
                    yield heads
                    self.sample = step = Sample(heads.small, self._map(layer.mean.out_features))
                case _:
                    step = Point(layer, x, self._map(x.channels, x.height, x.width))
            yield step
            x = self.maps[-1]

    @staticmethod
    def _can_rectify(step, after) -> bool:
        weighty = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, Heads)
        nothing = (nn.Flatten, nn.Unflatten, nn.Identity)
        following = next((l for l in after if not isinstance(l, nothing)), None)
        return isinstance(step, Join) and isinstance(following, weighty)

    def _convolution(self, layer: nn.Conv2d | nn.ConvTranspose2d, x: Map, weight: Tensor, bias: Tensor) -> Join:
        k, s, p = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        if isinstance(layer, nn.Conv2d):
            y = self._map(len(weight), *((n + 2 * p - k) // s + 1 for n in (x.height, x.width)))
            return Join(y, x, weight, bias, (s, s), p, up=False)
        extra = layer.output_padding
        y = self._map(weight.shape[1], *(s * (n - 1) + k - 2 * p + e for n, e in zip((x.height, x.width), extra)))
        return Join(x, y, weight, bias, (s, s), p, up=True)

    def _dense(self, x: Map, weight: Tensor, bias: Tensor, shape) -> Join:
        if shape is None:
            y = self._map(len(weight))
            return Join(y, x, weight.view(-1, x.channels, x.height, x.width), bias, (x.height, x.width), 0, up=False)
        y = self._map(*shape)
        assert x.height * x.width == 1
        weight = weight.T.reshape(-1, *shape)
        return Join(x, y, weight, bias.view(*shape), tuple(shape[1:]), 0, up=True)

    def _forward(self, step):
        if not isinstance(step, Join):
            return [step.forward]
        return self.program.values(step)

    def _backward(self, step):
        if not isinstance(step, Join):
            return [step.backward]
        return self.program.gradients(step, first=step is self.first)

    def _learning(self, steps):
        self.first = next(step for step in steps if isinstance(step, Join))
        return reversed(steps[steps.index(self.first):])

    def _stages(self, stages: Sequence[Operation | _Stage]) -> list[_Stage]:
        found: list[_Stage] = []
        for ours, some in groupby(stages, lambda stage: isinstance(stage, Operation)):
            found += [self.program.stage(list(some))] if ours else list(some)
        return found

    def learn(self, weights_P, clean_BCHW, noisy_BCHW, noise_BD=None, kl: float = 0.0):
        """The mean squared error, the KL divergence per pixel, and the gradient [P] of both."""
        self.program.begin(weights_P)
        terms = self._pass(clean_BCHW, noisy_BCHW, noise_BD, kl, learn=True)
        return *terms, self.program.gradient()

    def score(self, weights_P, clean_BCHW, noisy_BCHW, noise_BD=None):
        self.program.begin(weights_P)
        return self._pass(clean_BCHW, noisy_BCHW, noise_BD, 0.0, learn=False)

    @torch.no_grad()
    def _pass(self, clean_BCHW, noisy_BCHW, noise_BD, kl, learn):
        B, pixels = len(clean_BCHW), clean_BCHW[0].numel()
        squares, divergence = torch.zeros(()), torch.zeros(())
        for start in range(0, B, _IMAGES):
            clean, noisy = (x[start : start + _IMAGES] for x in (clean_BCHW, noisy_BCHW))
            count = len(clean)
            blocks = -(-count // (LANES * self.program.pack)) * self.program.pack
            noisy = noisy.permute(1, 2, 3, 0)
            clean = clean.permute(1, 2, 3, 0)
            if count < blocks * LANES:
                noisy, clean = (nn.functional.pad(x, (0, blocks * LANES - count)) for x in (noisy, clean))
            self.images.fill(self.images.value, noisy)
            if self.sample:
                noise = noise_BD[start : start + _IMAGES].T
                self.sample.noise = nn.functional.pad(noise, (0, blocks * LANES - count))
                weight = torch.zeros(blocks * LANES); weight[:count] = kl / (pixels * B)
                self.sample.kl = weight
            for stage in self.forward:
                stage(blocks)
            if self.sample:
                divergence += self.sample.divergence.detach()[:, :count].sum()
            # the loss
            answer = self.answer.inside(self.answer.value)[:blocks]
            full = count == blocks * LANES
            for half in range(self.program.pack):
                target = clean[half :: self.program.pack]
                if not len(target):
                    continue
                mine = answer[:, : len(target), ..., half].float()
                target = target.unflatten(-1, (-1, LANES)).permute(3, 0, 1, 2, 4)
                difference = mine - target
                if not full:
                    lanes = (torch.arange(blocks * LANES) < count).view(blocks, 1, 1, 1, LANES)
                    difference = torch.where(lanes, difference, 0.0)
                squares += difference.square().sum()
                if learn:
                    self.answer.inside(self.answer.gradient)[:blocks, : target.shape[1], ..., half] = difference * (2 / (B * pixels))
            if learn:
                for stage in self.backward:
                    stage(blocks)
        return squares / (B * pixels), divergence / (B * pixels)


def _unfolded(after):
    for layer in after:
        if isinstance(layer, nn.Unflatten):
            return layer.unflattened_size
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, Heads)):
            return None
    return None
