"""Convolutions of stride 2 for narrow layers on the CPU, where torch's own are slow.

In bfloat16 they are products with the batch innermost in memory (training/taps.py), and hand that
order on: an epoch of R2's network in 0.6 to 0.7 of the time. In float32 only one way is slow.
The way up, which is a decoder's answer and the gradient that an encoder's layer hands down, takes
oneDNN most of the time of R2's layers. Pixels whose row and column are even, or odd, are each a
convolution of stride 1 of the small image (Shi et al. 2016, "sub-pixel convolution"): all four
phases at once, put together afterwards, take 2.2 ms in place of 4.3 for R2's 16 channels to 8, and
3.0 in place of 8.6 for 8 to 1 (batch 512, one core). The other way, wide layers and a GPU are left
to torch, and so is the export.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from training.taps import Convolution, Transposed, taps_of

# With more channels oneDNN is as fast, or faster (measured on AVX-512 up to 128).
_NARROW, _WIDE = 16, 32

# Where torch's functions leave what their gradient needs, by any name.
_Context = Any


class Down(nn.Conv2d):
    """A convolution of stride 2, equal padding on all sides, and a bias."""

    def __init__(self, before: int, after: int, kernel: int, padding: int) -> None:
        super().__init__(before, after, kernel, stride=2, padding=padding)

    def forward(self, input: Tensor) -> Tensor:
        """[B,C,H,W] to [B,C,H/2,W/2], rounded as torch does."""
        if not _narrow(input, self.out_channels, self.in_channels):
            return super().forward(input)
        if torch.is_autocast_enabled("cpu"):
            return _innermost(Convolution, self, input)
        images: Tensor = _Down.apply(input, self.weight, self.bias, self.padding[0])
        return images


class Up(nn.ConvTranspose2d):
    """A transposed convolution of stride 2, equal padding on all sides, and a bias."""

    def __init__(
        self, before: int, after: int, kernel: int, padding: int, extra: tuple[int, int]
    ) -> None:
        super().__init__(before, after, kernel, stride=2, padding=padding, output_padding=extra)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[B,C,H,W] to [B,C,2H,2W], or as much less or more as padding and kernel make of it."""
        if output_size or not _narrow(input, self.in_channels, self.out_channels):
            return super().forward(input, output_size)
        if torch.is_autocast_enabled("cpu"):
            return _innermost(Transposed, self, input)
        padding, extra = self.padding[0], self.output_padding
        grown = self.kernel_size[0] - 2 * int(padding) - 2
        rows, columns = (2 * n + grown + e for n, e in zip(input.shape[2:], extra, strict=True))
        images: Tensor = _Up.apply(input, self.weight, self.bias, padding, extra, (rows, columns))
        return images


def _narrow(x: Tensor, below: int, above: int) -> bool:
    """Whether a layer between `below` channels and `above` is worth doing here.

    Of an image one column wide it has to be: there the gradient of the weights that oneDNN gives
    in bfloat16 is memory that nobody wrote (torch 2.15, kernels of 3 with padding).
    """
    return (
        x.device.type == "cpu"
        and (x.dtype == torch.float32 or torch.is_autocast_enabled("cpu"))
        and ((above <= _NARROW and below <= _WIDE) or x.shape[3] == 1)
        and not torch.compiler.is_compiling()
    )


def _innermost(way: type[Convolution | Transposed], layer: Down | Up, x_BCHW: Tensor) -> Tensor:
    x_CHWB = x_BCHW.to(torch.get_autocast_dtype("cpu")).permute(1, 2, 3, 0).contiguous()
    taps = taps_of(layer, (x_BCHW.shape[2], x_BCHW.shape[3]))
    assert layer.bias is not None
    images: Tensor = way.apply(x_CHWB[None], layer.weight.flatten(1)[None], layer.bias[None], taps)
    return images[0].permute(3, 0, 1, 2)


def side_by_side(x_BCHW: Tensor, other_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the batch last, if the first one's memory has it there; else as they are.

    What mixes two orders goes number by number.
    """
    if x_BCHW.stride(0) != 1 or len(x_BCHW) == 1:
        return x_BCHW, other_BCHW
    return x_BCHW.permute(1, 2, 3, 0), other_BCHW.permute(1, 2, 3, 0).contiguous()


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return functional.conv2d(x, weight, bias, 2, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        _, *rest = torch.ops.aten.convolution_backward(
            grad, x, weight, [len(weight)], [2, 2], [ctx.padding] * 2, [1, 1], False, [0, 0], 1,
            [False, True, True],
        )  # fmt: skip
        down = None
        if ctx.needs_input_grad[0]:
            down = upward(grad, weight, None, ctx.padding, tuple(x.shape[2:]))
        return down, *rest, None


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, padding: int,
        extra: tuple[int, int], size: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.extra = padding, extra
        return upward(x, weight, bias, padding, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        found = torch.ops.aten.convolution_backward(
            grad, x, weight, [weight.shape[1]], [2, 2], [ctx.padding] * 2, [1, 1], True, ctx.extra,
            1, [ctx.needs_input_grad[0], True, True],
        )  # fmt: skip
        return *found, None, None, None


def upward(
    x_BCHW: Tensor, weight_CDKK: Tensor, bias_D: Tensor | None, padding: int, size: tuple[int, int]
) -> Tensor:
    """The transposed convolution of stride 2, [B,D,*size], channels last in memory."""
    steps, taps_PJ = _phases(weight_CDKK.shape[2], padding)
    J = len(steps)
    phases = functional.pad(weight_CDKK, (0, 1, 0, 1))[:, :, taps_PJ][..., taps_PJ]
    kernel = phases.permute(2, 4, 1, 0, 3, 5).reshape(-1, len(weight_CDKK), J, J)
    rows, columns = (-(-side // 2) for side in size)
    _, _, H, W = x_BCHW.shape
    x_BCHW = functional.pad(
        x_BCHW, (-steps[0], columns - W + steps[-1], -steps[0], rows - H + steps[-1])
    )
    y_BCHW = functional.conv2d(
        x_BCHW,
        kernel.contiguous(memory_format=torch.channels_last),
        None if bias_D is None else bias_D.repeat(4),
    )
    y = y_BCHW.permute(0, 2, 3, 1).reshape(len(y_BCHW), rows, columns, 2, 2, -1)
    y_BHWC = y.permute(0, 1, 3, 2, 4, 5).reshape(len(y), 2 * rows, 2 * columns, -1)
    return y_BHWC[:, : size[0], : size[1]].permute(0, 3, 1, 2)


@cache
def _phases(kernel: int, padding: int) -> tuple[range, Tensor]:
    """Which neighbours an output of each phase looks at, and through which tap of the kernel.

    Output 2m + p is the sum over steps j of input m + j times tap p + padding - 2j; the tap after
    the last stands for none.
    """
    reach = [(p + padding - tap) // 2 for p in (0, 1) for tap in range(kernel)
             if (p + padding - tap) % 2 == 0]  # fmt: skip
    steps = range(min(reach), max(reach) + 1)
    taps = [[p + padding - 2 * j for j in steps] for p in (0, 1)]
    return steps, torch.tensor([[t if 0 <= t < kernel else kernel for t in row] for row in taps])
