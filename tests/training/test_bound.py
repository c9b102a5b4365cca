from __future__ import annotations

import pytest
import torch

from training import bound, pca
from training.data import Dataset


def by_hand(dataset: Dataset, latents: int) -> float:
    """The loss of the linear network itself: its errors and its divergence, in expectation."""
    components = pca.fit(dataset.train, latents)
    train, test = (
        part.batch(slice(None)).flatten(1).double() - components.mean
        for part in (dataset.train, dataset.test)
    )
    variance = (train @ components.directions.T).square().mean(0)
    w_PD = components.directions.T * (variance - 0.5).clamp_min(0).sqrt()
    inverse = torch.linalg.inv(w_PD.T @ w_PD + 0.5 * torch.eye(latents))
    mean_ND, covariance = test @ w_PD @ inverse, 0.5 * inverse
    errors = (test - mean_ND @ w_PD.T).square().sum(1) + (w_PD @ covariance @ w_PD.T).trace()
    kl = 0.5 * (mean_ND.square().sum(1) + covariance.trace() - latents - torch.logdet(covariance))
    return float((errors + kl).mean()) / test.shape[1]


@pytest.mark.parametrize("latents", [1, 3, 8])
def test_the_bound_is_the_loss_of_the_linear_network_whose_latents_may_be_unused(
    grey: Dataset, latents: int
) -> None:
    assert bound.linear(grey.train, grey.test, latents) == pytest.approx(by_hand(grey, latents))


def test_more_latents_are_never_worse_on_the_images_learnt_from(grey: Dataset) -> None:
    losses = [bound.linear(grey.train, grey.train, latents) for latents in range(1, 9)]
    assert losses == sorted(losses, reverse=True)
