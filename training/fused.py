"""Networks of narrow convolutions on a CPU: forward and back for 32 images at a time.

What so few images need stays in the processor's caches from the first layer to the gradient, and
training/kernel.c does all but what treats each number by itself. The answers are those of
training/stacked.py but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from training import kernel
from training.joins import Join
from training.kernel import LANES, Operation
from training.networks import Autoencoder, Shape
from training.plan import Plan, Sampling
from training.program import Program, Stage

# Of 16 images each, from the first layer to the gradient. With 2 R2's network takes 22.8 us an
# image, with 1 23.0 and with 4 24.9; in bfloat16 with 2 14.4, with 4 16.4 (one core, 1 MiB of L2).
_BLOCKS = 2
_IMAGES = _BLOCKS * LANES


def fits(net: Autoencoder, device: str, *, bf16: bool = False) -> bool:
    """Whether the machine can do it and the network has convolutions.

    Dense layers alone are left to torch, whose large products are as fast.
    """
    convolves = any(isinstance(layer, nn.Conv2d) for layer in net.modules())
    kinds = {False, bf16}  # it is validated in float32
    return device == "cpu" and convolves and all(kernel.load(bf16=kind) for kind in kinds)


class Fused:
    """One network's pass forward and back on weights [P], in float32 or bfloat16."""

    def __init__(self, net: Autoencoder, shape: Shape, *, bf16: bool = False) -> None:
        plan = Plan(net, shape, 2 if bf16 else 1)
        self.program = program = Program(plan.count, _BLOCKS, bf16=bf16)
        for each in plan.maps:
            each.allocate(_BLOCKS, program.dtype)
        self.sampling = next((s for s in plan.steps if isinstance(s, Sampling)), None)
        first = plan.joins[0]
        forward: list[Operation | Stage] = [program.load(plan.maps[0])]
        backward: list[Operation | Stage] = []
        for step in plan.steps:
            forward += program.values(step) if isinstance(step, Join) else [step.forward]
        for step in reversed(plan.steps[plan.steps.index(first) :]):
            if isinstance(step, Join):
                backward += program.gradients(step, first=step is first)
            else:
                backward.append(step.backward)
        forward.append(program.loss(plan.maps[-1], sigmoid=plan.sigmoid))
        program.link()
        self._scoring, self._learning = (
            _stages(program, parts) for parts in (forward, forward + backward)
        )

    def learn(
        self, weights_P: Tensor, clean_BCHW: Tensor, noisy_BCHW: Tensor,
        noise_BD: Tensor | None = None, kl: float = 0.0,
    ) -> tuple[float, float, Tensor]:  # fmt: skip
        """The mean squared error, the KL divergence per pixel, and the gradient [P].

        That is of the error and `kl` times the divergence; the noise samples the latents.
        """
        terms = self._pass(self._learning, weights_P, clean_BCHW, noisy_BCHW, noise_BD, kl)
        return *terms, self.program.gradient()

    def score(
        self, weights_P: Tensor, clean_BCHW: Tensor, noisy_BCHW: Tensor,
        noise_BD: Tensor | None = None,
    ) -> tuple[float, float]:  # fmt: skip
        """The mean squared error, and the KL divergence per pixel."""
        return self._pass(self._scoring, weights_P, clean_BCHW, noisy_BCHW, noise_BD, 0.0)

    @torch.no_grad()
    def _pass(
        self, stages: Sequence[Stage], weights_P: Tensor, clean_BCHW: Tensor, noisy_BCHW: Tensor,
        noise_BD: Tensor | None, kl: float,
    ) -> tuple[float, float]:  # fmt: skip
        program, batch, sampling = self.program, self.program.batch, self.sampling
        clean_BCHW, noisy_BCHW = clean_BCHW.contiguous(), noisy_BCHW.contiguous()
        program.begin(weights_P)
        batch.scale = scale = 1 / clean_BCHW.numel()
        divergence = 0.0
        for start in range(0, len(clean_BCHW), _IMAGES):
            part = slice(start, start + _IMAGES)
            clean, noisy = clean_BCHW[part], noisy_BCHW[part]
            batch.clean, batch.noisy, batch.images = clean.data_ptr(), noisy.data_ptr(), len(clean)
            blocks = program.pack * -(-len(clean) // (program.pack * LANES))
            if sampling is not None:
                assert noise_BD is not None
                sampling.prepare(noise_BD[part], blocks * LANES, kl * scale)
            for stage in stages:
                stage(blocks)
            if sampling is not None:
                divergence += float(sampling.cost[:, : len(clean)].sum())
        return batch.squares * scale, divergence * scale


def _stages(program: Program, parts: Sequence[Operation | Stage]) -> list[Stage]:
    """Operations that follow each other are one call."""
    found: list[Stage] = []
    for _, some in groupby(parts, lambda part: isinstance(part, Operation)):
        run = list(some)
        operations = [part for part in run if isinstance(part, Operation)]
        found += [program.stage(operations)] if operations else run  # type: ignore[arg-type]
    return found
