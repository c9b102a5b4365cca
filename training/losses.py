"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor

from training.networks import Output
from training.strided import side_by_side


def terms(output: Output, clean_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error, and the mean over images of the KL divergence per pixel."""
    mse = torch.nn.functional.mse_loss(*side_by_side(output.images.float(), clean_BCHW))
    if output.mean is None or output.log_variances is None:
        return mse, torch.zeros_like(mse)
    mean, log_variances = output.mean, output.log_variances
    kl_B = 0.5 * (mean.square() + log_variances.exp() - 1 - log_variances).sum(1)
    return mse, kl_B.mean() / clean_BCHW[0].numel()
