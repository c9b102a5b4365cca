from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from service.manifest import ImageShape
from service.model import Model
from training import context
from training.export import export
from training.networks import Autoencoder, Shape

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 96, 80, 1), np.uint8)


class Blur(nn.Module):
    """A mean over 2 * reach + 1 pixels each way, so that the edge is felt just so far."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        side = 2 * reach + 1
        self.mean = nn.Conv2d(1, 1, side, padding=reach, bias=False)
        nn.init.constant_(self.mean.weight, 1 / side**2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y: Tensor = self.mean(x_BCHW)
        return y


class Mean(nn.Module):
    """Every place answers with the mean of all."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.zeros_like(x_BCHW) + x_BCHW.mean((2, 3), keepdim=True)


def opened(net: nn.Module, folder: Path) -> Model:
    folder.mkdir(exist_ok=True)
    with torch.no_grad():
        export(Autoencoder(net, nn.Identity(), smallest=1), Shape(1, 96, 80), folder)
    return Model.open(folder)


def test_the_context_of_a_filter_is_its_reach(tmp_path: Path) -> None:
    assert context.measured(opened(Blur(5), tmp_path), IMAGES) == 5


def test_images_too_small_to_be_cut_tell_nothing(tmp_path: Path) -> None:
    model = opened(Blur(5), tmp_path)
    assert context.measured(model, IMAGES[:, :48, :48]) is None


def test_a_change_that_reaches_the_far_end_tells_nothing(tmp_path: Path) -> None:
    shades = np.linspace(0, 255, 96 * 80).reshape(1, 96, 80, 1).astype(np.uint8)
    assert context.measured(opened(Mean(), tmp_path), shades) is None


def test_a_model_of_small_images_is_measured_on_noise(tmp_path: Path) -> None:
    far = context.on_noise(opened(Blur(60), tmp_path / "far"), 1)
    assert far is not None
    assert 56 <= far <= 60
    near = context.on_noise(opened(Blur(5), tmp_path / "near"), 1)
    assert near == ImageShape.model_fields["context"].default
