"""How the networks of an ensemble are run forward and back: as one computation, or a thread each.

On a GPU, and where training/fused.py cannot be had, all are one batched computation. Otherwise
each is done by itself, which takes R2's network less than half the time (docs/decisions.md, 108),
on as many threads as torch has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from training import fused
from training.fused import Fused
from training.networks import Autoencoder, Heads, Shape
from training.stacked import Answers, Stacked

# Gives the clean and the noisy images [N,B,C,H,W] of some of the networks.
Draw = Callable[[slice], tuple[Tensor, Tensor]]
Noise = Sequence[torch.Generator]

_T = TypeVar("_T")


class Passes(Protocol):
    """Networks of one structure, whose weights are the rows of [N,P]."""

    def learn(
        self, weights_NP: Tensor, draw: Draw, noise: Noise, kl: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The mean squared errors [N], the KL divergences per pixel, and the gradients [N,P].

        Those are of the errors and `kl` times the divergences.
        """

    def score(self, weights_NP: Tensor, draw: Draw, noise: Noise) -> tuple[Tensor, Tensor]:
        """The mean squared errors [N], and the KL divergences per pixel, in float32."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def passes(net: Autoencoder, shape: Shape, device: torch.device, *, bf16: bool) -> Passes:
    """The way that suits the networks and the device."""
    if fused.fits(net, device.type, bf16=bf16):
        return Apart(net, shape, bf16=bf16)
    return AtOnce(net, device, bf16=bf16)


def at_once(net: Autoencoder, device: torch.device, *, bf16: bool) -> int:
    """How many networks are best done at once."""
    if device.type != "cpu":
        return 256
    # Batched, more than two push each other out of the cache; a few a thread wait less.
    return 4 * torch.get_num_threads() if fused.fits(net, "cpu", bf16=bf16) else 2


class AtOnce:
    """All networks as one batched computation."""

    def __init__(self, net: Autoencoder, device: torch.device, *, bf16: bool) -> None:
        self.net, self.device, self.bf16 = Stacked(net), device, bf16

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def learn(
        self, weights_NP: Tensor, draw: Draw, noise: Noise, kl: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Passes`."""
        weights_NP = weights_NP.detach().requires_grad_()
        clean, noisy = map(_innermost, draw(slice(None)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            answers = self.net(weights_NP, noisy, noise)
        mse_N, kl_N = _terms(answers, clean)
        (gradient_NP,) = torch.autograd.grad((mse_N + kl * kl_N).sum(), weights_NP)
        return mse_N.detach(), kl_N.detach(), gradient_NP

    @torch.no_grad()
    def score(self, weights_NP: Tensor, draw: Draw, noise: Noise) -> tuple[Tensor, Tensor]:
        """See `Passes`."""
        clean, noisy = map(_innermost, draw(slice(None)))
        return _terms(self.net(weights_NP, noisy, noise), clean)


class Apart:
    """Each network by itself, on a CPU; as a context it has its threads."""

    def __init__(self, net: Autoencoder, shape: Shape, *, bf16: bool) -> None:
        self.threads = torch.get_num_threads()
        # One of each for each thread: taken while a network is run, then put back.
        self.learners = [Fused(net, shape, bf16=bf16) for _ in range(self.threads)]
        self.scorers = self.learners if not bf16 else [Fused(net, shape) for _ in self.learners]
        self.latents = next((m.mean.out_features for m in net.modules() if isinstance(m, Heads)), 0)

    def __enter__(self) -> Self:
        # Within a member torch has one thread.
        self.pool = ThreadPoolExecutor(self.threads, "member", torch.set_num_threads, (1,))
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()
        torch.set_num_threads(self.threads)

    def learn(
        self, weights_NP: Tensor, draw: Draw, noise: Noise, kl: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Passes`."""

        def one(n: int) -> tuple[float, float, Tensor]:
            clean, noisy, sampled = self._drawn(n, draw, noise)
            net = self.learners.pop()
            answer = net.learn(weights_NP[n], clean, noisy, sampled, kl)
            self.learners.append(net)
            return answer

        mse, divergence, gradients = zip(*self._each(one, len(weights_NP)), strict=True)
        return torch.tensor(mse), torch.tensor(divergence), torch.stack(gradients)

    def score(self, weights_NP: Tensor, draw: Draw, noise: Noise) -> tuple[Tensor, Tensor]:
        """See `Passes`."""

        def one(n: int) -> tuple[float, float]:
            clean, noisy, sampled = self._drawn(n, draw, noise)
            net = self.scorers.pop()
            answer = net.score(weights_NP[n], clean, noisy, sampled)
            self.scorers.append(net)
            return answer

        mse, divergence = zip(*self._each(one, len(weights_NP)), strict=True)
        return torch.tensor(mse), torch.tensor(divergence)

    def _drawn(self, n: int, draw: Draw, noise: Noise) -> tuple[Tensor, Tensor, Tensor | None]:
        (clean,), (noisy,) = draw(slice(n, n + 1))
        size = (len(clean), self.latents)
        return clean, noisy, torch.randn(size, generator=noise[n]) if self.latents else None

    def _each(self, one: Callable[[int], _T], count: int) -> Iterable[_T]:
        return (map if self.threads == 1 else self.pool.map)(one, range(count))


def _innermost(x_NBCHW: Tensor) -> Tensor:
    """[N,C,H,W,B], in memory too."""
    return x_NBCHW.permute(0, 2, 3, 4, 1).contiguous()


def _terms(answers: Answers, clean_NCHWB: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's mean squared error, and its mean KL divergence per pixel: [N] each."""
    mse_N = (answers.images.float() - clean_NCHWB).square().mean((1, 2, 3, 4))
    if answers.mean is None or answers.log_variances is None:
        return mse_N, torch.zeros_like(mse_N)
    mean, log_variances = answers.mean, answers.log_variances
    kl_NB = 0.5 * (mean.square() + log_variances.exp() - 1 - log_variances).sum(1)
    return mse_N, kl_NB.mean(1) / clean_NCHWB[0, ..., 0].numel()
