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
            is_wide = parameter.ndim > 1 and min(parameter.shape[:2]) >= _NARROWEST
            (wide if is_wide else rest).append(parameter)
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
            momentum = state["exp_avg"].lerp_(weight.grad, 1 - _MOMENTUM)
            ahead = weight.grad.lerp(momentum, _MOMENTUM).flatten(1)
            scale = _LIKE_ADAMW * max(ahead.shape) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(orthogonalised(ahead).reshape(weight.shape), alpha=-group["lr"] * scale)
            weight.grad = None  # AdamW passes over it
        super().step()


def orthogonalised(matrix_MN: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all 1 (Newton-Schulz), in float32."""
    M, N = matrix_MN.shape
    x = (matrix_MN.T if M > N else matrix_MN).bfloat16()
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        gram = torch.addmm(gram, gram, gram, beta=_CUBIC, alpha=_QUINTIC)
        x = torch.addmm(x, gram, x, beta=_LINEAR)
    return (x.T if M > N else x).float()
