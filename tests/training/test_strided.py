from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training import strided, taps
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
    assert strided._narrow(x, 5, 3)
    torch.testing.assert_close(run(ours, x), run(theirs, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("extra", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 0), (3, 1), (4, 1), (5, 2)])
def test_the_way_up_is_torchs(kernel: int, padding: int, extra: tuple[int, int]) -> None:
    ours = Up(5, 3, kernel, padding, extra)
    theirs = nn.ConvTranspose2d(5, 3, kernel, 2, padding, extra)
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(4, 5, 3, 4)
    assert strided._narrow(x, 5, 3)
    torch.testing.assert_close(run(ours, x), run(theirs, x), rtol=1e-5, atol=1e-5)


def test_images_stay_channels_last_in_memory() -> None:
    net = Conv((8, 16), latents=3)(Shape(1, 28, 28)).to(memory_format=torch.channels_last)
    h_BCHW = net.encoder[0](torch.rand(2, 28, 28, 1).permute(0, 3, 1, 2))
    assert net.encoder[2](h_BCHW).is_contiguous(memory_format=torch.channels_last)
    ups = [layer for layer in net.decoder if isinstance(layer, Up)]
    assert ups[0](torch.rand(2, 16, 7, 7)).is_contiguous(memory_format=torch.channels_last)


def test_wide_layers_are_left_to_torch() -> None:
    assert not strided._narrow(torch.rand(1, 64, 4, 4), 64, 128)
    assert not strided._narrow(torch.rand(1, 8, 4, 4).bfloat16(), 8, 8)
    ours, torchs = Up(8, 4, 3, 1, (1, 1)), nn.ConvTranspose2d(8, 4, 3)
    assert ours.state_dict().keys() == torchs.state_dict().keys()


def rounded(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """What `run` gives, under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return [each.float() for each in run(layer, x)]


@pytest.mark.parametrize("blocks", [1, 1 << 20])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 0), (3, 1), (4, 1), (5, 2)])
def test_in_bfloat16_both_ways_are_torchs_but_for_rounding(
    kernel: int, padding: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taps, "_BLOCK_BYTES", blocks)
    down = nn.Conv2d(3, 5, kernel, 2, padding), Down(3, 5, kernel, padding)
    up = nn.ConvTranspose2d(3, 5, kernel, 2, padding), Up(3, 5, kernel, padding, (0, 0))
    for theirs, ours in (down, up):
        ours.load_state_dict(theirs.state_dict())
        x = torch.rand(8, 3, 7, 9)
        exact = run(theirs, x)
        for mine, right in zip(rounded(ours, x), exact, strict=True):
            error = (mine - right).norm() / right.norm()
            assert 0 < error < 0.01


def test_in_bfloat16_the_batch_is_innermost_from_layer_to_layer() -> None:
    net = Conv((8, 16), latents=3)(Shape(1, 28, 28))
    x = torch.rand(4, 28, 28, 1).permute(0, 3, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        h = net.encoder[:4](x)
        images = net(x).images
    assert h.stride() == (1, 4 * 49, 4 * 7, 4)
    assert images.stride(0) == 1
    mine, clean = strided.side_by_side(images, x)
    assert mine.is_contiguous()
    assert clean.is_contiguous()
    assert torch.equal(clean.permute(3, 0, 1, 2), x)
    assert strided.side_by_side(x, images)[1] is images


@pytest.mark.parametrize("height", [1, 2, 5])
def test_in_bfloat16_an_image_one_column_wide_has_gradients(height: int) -> None:
    for theirs, ours in (
        (nn.Conv2d(64, 32, 3, 2, 1), Down(64, 32, 3, 1)),
        (nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), Up(64, 32, 3, 1, (1, 1))),
    ):
        ours.load_state_dict(theirs.state_dict())
        x = torch.rand(21, 64, height, 1)
        exact = run(theirs, x)
        # Memory that nobody writes shows once what lay there before is no number.
        lain = [torch.full((size,), torch.nan, dtype=torch.bfloat16)
                for size in (5_000, 9_216, 18_432, 36_864, 73_728) for _ in range(5)]  # fmt: skip
        del lain
        for mine, right in zip(rounded(ours, x), exact, strict=True):
            assert (mine - right).norm() < 0.01 * right.norm()
