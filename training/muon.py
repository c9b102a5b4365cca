"""Muon: the momentum of each weight matrix, orthogonalised, is its step.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with the scale of
Liu et al. 2025 (arXiv:2502.16982), which makes a rate for AdamW fit. torch's own takes matrices
alone; here a convolution's filters are the rows of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# What is narrower (an image's few channels, the latents, a bias) is left to AdamW.
_NARROWEST = 16
_MOMENTUM = 0.95
# Five rounds of this odd polynomial bring every singular value near to 1.
_ROUNDS, _LINEAR, _CUBIC, _QUINTIC = 5, 3.4445, -4.7750, 2.0315
_LIKE_ADAMW = 0.2  # the root mean square of a step of AdamW, in rates


class Muon(torch.optim.AdamW):
    """Muon for the weights between wide layers, AdamW at the same rate for the others."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, decay: float) -> None:
        wide: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for parameter in parameters:
            (wide if is_wide(parameter) else rest).append(parameter)
        groups = [{"params": group} for group in (rest, wide)]
        super().__init__(groups, lr, weight_decay=decay, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; the gradients of what Muon moved are gone after it."""
        if closure is not None:
            raise ValueError("Muon takes no closure: call `backward` before `step`")
        group = self.param_groups[1]
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:  # by AdamW's names, since it reads a checkpoint back
                state["step"] = torch.zeros(())
                state["exp_avg"] = torch.zeros_like(weight)
            state["step"] += 1
            step = orthogonalised(ahead(weight.grad, state["exp_avg"]).flatten(1))
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            size = group["lr"] * scale(step.shape)
            weight.add_(step.reshape(weight.shape), alpha=-size)
            weight.grad = None  # AdamW passes over it
        super().step()


def is_wide(parameter: Tensor) -> bool:
    """Whether it is Muon's to move."""
    return parameter.ndim > 1 and min(parameter.shape[:2]) >= _NARROWEST


def ahead(gradient: Tensor, momentum: Tensor) -> Tensor:
    """Adds the gradient to the momentum, and gives where that will be next (Nesterov)."""
    return gradient.lerp(momentum.lerp_(gradient, 1 - _MOMENTUM), _MOMENTUM)


def scale(shape: torch.Size) -> float:
    """How many rates long a step on a matrix of that shape is."""
    return float(_LIKE_ADAMW * max(shape) ** 0.5)


def orthogonalised(matrices: Tensor) -> Tensor:
    """About the nearest [...,M,N] whose singular values are all 1 (Newton-Schulz), in float32."""
    M, N = matrices.shape[-2:]
    x = (matrices.mT if M > N else matrices).reshape(-1, min(M, N), max(M, N)).bfloat16()
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=_CUBIC, alpha=_QUINTIC)
        x = torch.baddbmm(x, gram, x, beta=_LINEAR)
    return (x.mT if M > N else x).float().reshape(matrices.shape)
