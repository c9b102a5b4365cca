from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from training import taps
from training.taps import Convolution, Taps, Transposed, taps_of

N, B = 3, 4


def all_at_once(self: Taps, *_: object) -> Iterator[tuple[slice, slice]]:
    """As on a GPU."""
    yield slice(None), slice(0, self.small[0])


@pytest.fixture(params=["row by row", "in one block", "as on a GPU"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "row by row":
        monkeypatch.setattr(taps, "_BLOCK_BYTES", 1)
    elif request.param == "as on a GPU":
        monkeypatch.setattr(Taps, "_blocks", all_at_once)


def answers(layers: list[nn.Module], x_NBCHW: Tensor) -> list[Tensor]:
    """Each layer on its own images, one by one; then the gradients of images, weights, biases."""
    x_NBCHW = x_NBCHW.clone().requires_grad_()
    y = torch.stack([layer(x) for layer, x in zip(layers, x_NBCHW, strict=True)])
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    leaves = [p for layer in layers for p in layer.parameters()]
    of_images, *rest = torch.autograd.grad((y * weights).sum(), [x_NBCHW, *leaves])
    return [y, of_images, torch.stack(rest[::2]).flatten(2), torch.stack(rest[1::2])]


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (4, 1), (5, 2)])
@pytest.mark.parametrize("way", [nn.Conv2d, nn.ConvTranspose2d])
def test_several_networks_at_once_are_torchs_one_by_one(
    way: type[nn.Conv2d | nn.ConvTranspose2d], kernel: int, padding: int, stride: int
) -> None:
    layers: list[nn.Module] = [way(3, 5, kernel, stride, padding) for _ in range(N)]
    x_NBCHW = torch.rand(N, B, 3, 7, 8)
    expected = answers(layers, x_NBCHW)
    x = x_NBCHW.permute(0, 2, 3, 4, 1).contiguous().requires_grad_()
    weight = torch.stack([layer.weight.flatten(1) for layer in layers]).detach().requires_grad_()
    bias = torch.stack([layer.bias for layer in layers]).detach().requires_grad_()
    function = Convolution if way is nn.Conv2d else Transposed
    y = function.apply(x, weight, bias, taps_of(layers[0], (7, 8)))
    weights = torch.randn(expected[0].shape, generator=torch.Generator().manual_seed(2))
    loss = (y * weights.permute(0, 2, 3, 4, 1)).sum()
    found = [y, *torch.autograd.grad(loss, [x, weight, bias])]
    for images in (0, 1):
        found[images] = found[images].permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
