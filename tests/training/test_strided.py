from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from training import strided
from training.networks import Conv, Shape
from training.strided import Down, Up


def run(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The answer, and the gradients of a loss that weighs every number of it differently."""
    x = x.clone().requires_grad_()
    y = layer(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("height", [6, 7])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 0), (3, 1), (4, 1), (5, 2)])
def test_the_way_down_is_torchs(kernel: int, padding: int, height: int) -> None:
    ours = Down(3, 5, kernel, padding)
    theirs = nn.Conv2d(3, 5, kernel, stride=2, padding=padding)
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(4, 3, height, 9)
    assert strided._pays(x, 5, 3)
    torch.testing.assert_close(run(ours, x), run(theirs, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("extra", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 0), (3, 1), (4, 1), (5, 2)])
def test_the_way_up_is_torchs(kernel: int, padding: int, extra: tuple[int, int]) -> None:
    ours = Up(5, 3, kernel, padding, extra)
    theirs = nn.ConvTranspose2d(5, 3, kernel, 2, padding, extra)
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(4, 5, 3, 4)
    assert strided._pays(x, 5, 3)
    torch.testing.assert_close(run(ours, x), run(theirs, x), rtol=1e-5, atol=1e-5)


def test_images_stay_channels_last_in_memory() -> None:
    net = Conv((8, 16), latents=3)(Shape(1, 28, 28)).to(memory_format=torch.channels_last)
    h_BCHW = net.encoder[0](torch.rand(2, 28, 28, 1).permute(0, 3, 1, 2))
    assert net.encoder[2](h_BCHW).is_contiguous(memory_format=torch.channels_last)
    ups = [layer for layer in net.decoder if isinstance(layer, Up)]
    assert ups[0](torch.rand(2, 16, 7, 7)).is_contiguous(memory_format=torch.channels_last)


def test_wide_layers_and_bfloat16_are_left_to_torch() -> None:
    assert not strided._pays(torch.rand(1, 64, 4, 4), 64, 128)
    assert not strided._pays(torch.rand(1, 8, 4, 4).bfloat16(), 8, 8)
    layer = Up(8, 4, 3, 1, (1, 1))
    twin = copy.deepcopy(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert not strided._pays(torch.rand(1, 8, 4, 4), 8, 8)
        assert layer(torch.rand(1, 8, 4, 4)).dtype == torch.bfloat16
    assert twin.state_dict().keys() == nn.ConvTranspose2d(8, 4, 3).state_dict().keys()
