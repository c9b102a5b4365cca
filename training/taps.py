"""Strided convolutions as matrix products, the batch innermost in memory: [N,C,H,W,B].

A convolution gathers what each tap of its kernel sees and multiplies; a transposed one multiplies
and scatters. Each is the other's gradient. With the batch innermost a tap is a copy of whole rows,
where channels innermost are 8 numbers at a time (R2's gathers 1.1 ms against 6.0, one core). N
networks at once have weights [N,O,K], O the channels of the small image and K those of the large
one times the taps.

On a CPU this is done network by network and some rows at a time, so that what was gathered is
still in the cache when it is multiplied; it is gathered again for the gradient. On a GPU all is
one batched product.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Of what was gathered. Blocks of 0.5 and 1 MiB were no better than 2 (one core, 1 MiB of L2).
_BLOCK_BYTES = 2 << 20

# Where torch's functions leave what their gradient needs, by any name.
_Context = Any

# One network, or all.
_Of = int | slice


class Taps(NamedTuple):
    """Which pixels of the `large` image each tap of a kernel joins to those of the `small`."""

    kernel: int
    stride: int
    padding: int
    small: tuple[int, int]
    large: tuple[int, int]

    def down(self, x_NCHWB: Tensor, weight_NOK: Tensor, bias_NO: Tensor) -> Tensor:
        """The convolution of the large images: the small ones, [N,O,h,w,B]."""
        y = x_NCHWB.new_empty(*weight_NOK.shape[:2], *self.small, x_NCHWB.shape[-1])
        for of, rows, seen in self.gathered(x_NCHWB):
            torch.matmul(weight_NOK[of], seen, out=_flat(y, of, rows))
            _flat(y, of, rows).add_(bias_NO[of][..., None])
        return y

    def up(self, y_NOHWB: Tensor, weight_NOK: Tensor, bias_NC: Tensor | None = None) -> Tensor:
        """The transposed convolution of the small images: the large ones, [N,C,H,W,B]."""
        N, _, K = weight_NOK.shape
        C, B, p, s = K // self.kernel**2, y_NOHWB.shape[-1], self.padding, self.stride
        (h, w), (H, W) = self.small, self.large
        sides = [max(n + 2 * p, (m - 1) * s + self.kernel) for m, n in ((h, H), (w, W))]
        if bias_NC is None:
            padded = y_NOHWB.new_zeros(N, C, *sides, B)
        else:
            padded = bias_NC[..., None, None, None].expand(N, C, *sides, B).contiguous()
        for of, rows in self._blocks(y_NOHWB, K):
            given = weight_NOK[of].mT @ _flat(y_NOHWB, of, rows)
            count = rows.stop - rows.start
            given = given.view(*given.shape[:-2], C, self.kernel, self.kernel, count, w, B)
            block = padded[of][..., s * rows.start :, :, :]
            down, across = s * (count - 1) + 1, s * (w - 1) + 1
            for i in range(self.kernel):
                for j in range(self.kernel):
                    tap = block[..., i : i + down : s, j : j + across : s, :]
                    tap.add_(given[..., i, j, :, :, :])
        return padded[:, :, p : p + H, p : p + W]

    def learn(
        self, x_NCHWB: Tensor, y_NOHWB: Tensor, weight_NOK: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The gradient of the weights, and `down` of the large images too if weights are given.

        Either may be the gradient: that of the large images for a transposed convolution.
        """
        K = x_NCHWB.shape[1] * self.kernel**2
        gradient = x_NCHWB.new_zeros(*y_NOHWB.shape[:2], K, dtype=torch.float32)
        down = None if weight_NOK is None else torch.empty_like(y_NOHWB)
        for of, rows, seen in self.gathered(x_NCHWB):
            gradient[of] += _flat(y_NOHWB, of, rows) @ seen.mT
            if down is not None and weight_NOK is not None:
                torch.matmul(weight_NOK[of], seen, out=_flat(down, of, rows))
        return gradient, down

    def gathered(self, x_NCHWB: Tensor) -> Iterator[tuple[_Of, slice, Tensor]]:
        """What the taps of some rows see: which networks, which rows, and [K,M] or [N,K,M]."""
        _, C, H, W, B = x_NCHWB.shape
        (h, w), k, s, p = self.small, self.kernel, self.stride, self.padding
        below, right = (max(0, (m - 1) * s + k - p - n) for m, n in ((h, H), (w, W)))
        padded = functional.pad(x_NCHWB, (0, 0, p, right, p, below))
        for of, rows in self._blocks(x_NCHWB, C * k * k):
            block = padded[of][..., s * rows.start :, :, :]
            *others, c, row, column, _ = block.stride()
            taps = block.as_strided(
                (*block.shape[:-4], C, k, k, rows.stop - rows.start, w, B),
                (*others, c, row, column, s * row, s * column, 1),
            )
            yield of, rows, taps.reshape(*block.shape[:-4], C * k * k, -1)

    def _blocks(self, images_NCHWB: Tensor, K: int) -> Iterator[tuple[_Of, slice]]:
        """Which networks and which rows of the small image are done at once."""
        N, B, (h, w) = len(images_NCHWB), images_NCHWB.shape[-1], self.small
        if images_NCHWB.device.type != "cpu":
            yield slice(None), slice(0, h)
            return
        height = max(1, _BLOCK_BYTES // (K * w * B * images_NCHWB.element_size()))
        for n in range(N):
            for row in range(0, h, height):
                yield n, slice(row, min(h, row + height))


def _flat(y_NOHWB: Tensor, of: _Of, rows: slice) -> Tensor:
    """Those rows of those networks as a view: [O,M] or [N,O,M]."""
    return y_NOHWB[of][..., rows, :, :].flatten(-3)


def taps_of(layer: nn.Conv2d | nn.ConvTranspose2d, size: tuple[int, int]) -> Taps:
    """The taps of a layer with square kernels, for images of that size coming in."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    reach = kernel - 2 * padding
    if isinstance(layer, nn.Conv2d):
        height, width = ((side - reach) // stride + 1 for side in size)
        return Taps(kernel, stride, padding, (height, width), size)
    sides = zip(size, layer.output_padding, strict=True)
    height, width = (stride * (side - 1) + reach + extra for side, extra in sides)
    return Taps(kernel, stride, padding, size, (height, width))


class Convolution(torch.autograd.Function):
    """[N,C,H,W,B] to [N,O,h,w,B] by weights [N,O,K] and biases [N,O], in the images' type."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, taps: Taps) -> Tensor:
        # Cast in here, the gradients of the weights stay float32.
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        ctx.taps = taps
        return taps.down(x, weight, bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), taps, grad = ctx.saved_tensors, ctx.taps, grad.contiguous()
        of_weight, _ = taps.learn(x, grad)
        of_images = taps.up(grad, weight) if ctx.needs_input_grad[0] else None
        return of_images, of_weight, grad.sum((2, 3, 4), dtype=torch.float32), None


class Transposed(torch.autograd.Function):
    """[N,O,h,w,B] to [N,C,H,W,B] by weights [N,O,K] and biases [N,C], in the images' type."""

    @staticmethod
    def forward(ctx: _Context, y: Tensor, weight: Tensor, bias: Tensor, taps: Taps) -> Tensor:
        weight = weight.to(y.dtype)
        ctx.save_for_backward(y, weight)
        ctx.taps = taps
        return taps.up(y, weight, bias.to(y.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y, weight), taps, grad = ctx.saved_tensors, ctx.taps, grad.contiguous()
        of_weight, of_images = taps.learn(grad, y, weight)
        return of_images, of_weight, grad.sum((2, 3, 4), dtype=torch.float32), None
