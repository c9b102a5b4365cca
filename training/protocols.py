"""Scores a network as its report did: floats, its noise, its measure, the whole test set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from service import quality
from training.data import Images
from training.networks import Autoencoder
from training.reported import Reported
from training.seeds import generator

_BATCH = 1000


@torch.no_grad()
def score(net: Autoencoder, test: Images, reported: Reported) -> dict[str, float]:
    """Our values by the protocol of `reported`, each a mean over the test images."""
    net.eval()
    noise = generator(0, "test")
    totals: dict[str, float] = {}
    for part in test.slices(_BATCH):
        clean_BCHW = test.batch(part)
        noisy_BCHW = reported.corruption(clean_BCHW, noise)
        if reported.measure == "elbo":
            output = net(noisy_BCHW, noise)
            values = _elbo(output.images, clean_BCHW, output.mean, output.log_variances)
        else:
            answer, clean = _channels_last(net(noisy_BCHW).images), _channels_last(clean_BCHW)
            measure = _pil if reported.measure == "pil" else _float
            values = measure(answer, clean)
        for key, value in values.items():
            totals[key] = totals.get(key, 0.0) + value * len(clean_BCHW)
    return {key: value / len(test) for key, value in totals.items()}


def of_seeds(
    nets: Sequence[Autoencoder], test: Images, reported: Reported
) -> tuple[dict[str, float], dict[str, float]]:
    """The mean over the networks of several seeds, and the deviation where there are two or more.

    To six places; what is not finite is left out.
    """
    found = [score(net, test, reported) for net in nets]
    mean = {k: statistics.fmean(f[k] for f in found) for k in found[0]} if found else {}
    spread = {k: statistics.stdev(f[k] for f in found) for k in mean} if len(found) > 1 else {}
    return _rounded(mean), _rounded(spread)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 6) for key, value in values.items() if math.isfinite(value)}


def _channels_last(x_BCHW: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = x_BCHW.permute(0, 2, 3, 1).contiguous().numpy()
    return array


def _float(answer: NDArray[np.float32], clean: NDArray[np.float32]) -> dict[str, float]:
    return quality.measure(answer.astype(np.float64), clean.astype(np.float64)).mean()


def _pil(answer: NDArray[np.float32], clean: NDArray[np.float32]) -> dict[str, float]:
    """R3: torchvision's ToPILImage cuts the fraction off, then scikit-image at 8 bits."""
    from skimage.metrics import structural_similarity  # noqa: PLC0415 (slow to import)

    ours, theirs = ((a.clip(0, 1) * 255).astype(np.uint8) for a in (answer, clean))
    scores = quality.measure(ours, theirs)
    ssim = [
        structural_similarity(a, b, data_range=255, channel_axis=2)  # type: ignore[no-untyped-call]
        for a, b in zip(ours, theirs, strict=True)
    ]
    return {
        "mse": float(scores.mse.mean()),
        "psnr": float(scores.psnr.mean()),
        "ssim": float(np.mean(ssim)),
    }


def _elbo(
    answer: torch.Tensor,
    clean: torch.Tensor,
    mean: torch.Tensor | None,
    log_variances: torch.Tensor | None,
) -> dict[str, float]:
    """R2's loss, on its true scale: not a bound in nats, for the errors count half too much."""
    assert mean is not None, "only a variational network has this loss"
    assert log_variances is not None
    pixels = clean[0].numel()
    mse = float((answer - clean).square().mean())
    kl_B = 0.5 * (mean.square() + log_variances.exp() - 1 - log_variances).sum(1)
    kl = float(kl_B.mean())
    return {"loss": mse + kl / pixels, "mse": mse, "kl_nats": kl}
