"""Operations for training/kernel.c, and where in its memory each parameter and its gradient is."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from training import kernel
from training.joins import Join, Map, Product
from training.kernel import LANES, Operation

# A square of weights that LEARN adds up at once, and the outputs that MULTIPLY makes at once.
_SQUARE, _TILES = 4, (2, 4, 8)


class Program:
    """Operations on so many blocks of 16 images, for a network of `count` parameters."""

    def __init__(self, count: int, blocks: int, *, bf16: bool) -> None:
        library = kernel.load(bf16=bf16)
        assert library is not None, "ensembles ask first"
        self._run = library.run
        self.pack, self.dtype = (2, torch.bfloat16) if bf16 else (1, torch.float32)
        self.count, self.blocks = count, blocks
        self._weights: list[Tensor] = []
        self._biases: list[Tensor] = []
        self._operations: list[Operation] = []
        self._places = torch.zeros(count, dtype=torch.long)
        self._n_sums = 0
        self._kept: list[Tensor] = []

    def values(self, join: Join) -> list[Operation]:
        """Forward."""
        x, y = join.before, join.after
        kind = kernel.MULTIPLY_RELU if y.rectified else kernel.MULTIPLY
        return [self._multiply(product, (x, x.value), (y, y.value), kind, product.bias)
                for product in (join.ups() if join.up else [join.down()])]  # fmt: skip

    def gradients(self, join: Join, *, first: bool) -> list[Operation]:
        """Back: of the weights and biases, and of what came in unless it is the `first` join."""
        x, y = join.before, join.after
        found = [*self._spread(x, x.value, x.value_apart),
                 *self._spread(y, y.gradient, y.gradient_apart), *self._learn(join)]  # fmt: skip
        if not first:
            kind = kernel.MULTIPLY_MASKED if x.rectified else kernel.MULTIPLY
            found += [self._multiply(product, (y, y.gradient), (x, x.gradient), kind)
                      for product in ([join.down()] if join.up else join.ups())]  # fmt: skip
        return found

    def _multiply(
        self, product: Product, x: tuple[Map, Tensor], y: tuple[Map, Tensor], kind: int,
        biases: Tensor | None = None,
    ) -> Operation:  # fmt: skip
        outputs, terms, taps = product.weight.shape
        tile = next((size for size in _TILES if size >= outputs), _TILES[-1])
        # What pads a tile or a pair is the parameter after the last, a zero.
        weight = torch.full((_up(outputs, tile), _up(terms, self.pack), taps), self.count)
        weight[:outputs, :terms] = product.weight
        bias = torch.full(weight.shape[:1], self.count)
        if biases is not None:
            bias[:outputs] = biases
        weight = weight.view(-1, tile, _up(terms, self.pack) // self.pack, self.pack, taps)
        operation = self._operation(
            kind, outputs, product.at_x, x[0].block, product.at_y, y[0].block,
            _planes(x[0], x[0].words, product.taps), _planes(y[0], len(bias) // self.pack),
        )  # fmt: skip
        operation.tile = tile
        operation.x, operation.y = x[1].data_ptr(), y[1].data_ptr()
        operation.mask = y[0].value.data_ptr()
        operation.weights = sum(map(len, self._weights)) * self.dtype.itemsize
        operation.bias = sum(map(len, self._biases)) * torch.float32.itemsize
        self._weights.append(weight.permute(0, 2, 4, 1, 3).flatten())
        self._biases.append(bias)
        return operation

    def _learn(self, join: Join) -> list[Operation]:
        """The gradients of a join's weights and biases."""
        product, small, large = join.down(), join.small, join.large
        outputs, terms, taps = product.weight.shape
        wide, deep = _up(terms * taps, _SQUARE), _up(outputs, _SQUARE)
        lines = [_planes(large, terms, product.taps), _planes(small, outputs)]
        lines = [torch.cat([line, line.new_zeros(size - len(line))])
                 for line, size in zip(lines, (wide, deep), strict=True)]  # fmt: skip
        weights = self._operation(kernel.LEARN, deep, product.at_x, large.words * self.pack * large.plane, product.at_y, small.words * self.pack * small.plane, *lines)
        weights.x = (large.value_apart if join.up is False else large.gradient_apart).data_ptr()
        weights.small = (small.gradient_apart if join.up is False else small.value_apart).data_ptr()
        o, k = torch.arange(outputs)[:, None], torch.arange(terms * taps)
        square = o // _SQUARE * (wide // _SQUARE) + k // _SQUARE
        place = square * _SQUARE**2 + o % _SQUARE * _SQUARE + k % _SQUARE
        weights.sums = self._sums(product.weight.flatten(1), place, wide * deep)
        after = large if join.up else small
        each = join.bias.ndim > 1  # a dense layer has a bias for each pixel of a map
        pixels = after.pixels()
        at_x, outputs_ = (pixels[:1] * 0, pixels) if each else (pixels, pixels[:1] * 0)
        channels = _planes(after, after.channels, outputs_)
        biases = self._operation(kernel.SUM, len(channels), at_x, after.words * self.pack * after.plane, at_x, 0, at_x, channels)
        biases.x = after.gradient_apart.data_ptr()
        biases.sums = self._sums(join.bias.flatten(), torch.arange(len(channels)), _up(len(channels), LANES))
        return [weights, biases]

    def _spread(self, of: Map, x: Tensor, y: Tensor) -> list[Operation]:
        """The two channels of a pair apart, if there are pairs."""
        if self.pack == 1:
            return []
        nothing = torch.zeros(1, dtype=torch.long)
        operation = self._operation(kernel.SPREAD, of.words, nothing, 0, nothing, 0, nothing, nothing)
        operation.n_pixels = of.plane
        operation.x, operation.y = x.data_ptr(), y.data_ptr()
        return [operation]

    def _operation(
        self, kind: int, outputs: int, at_x: Tensor, x_block: int, at_y: Tensor, y_block: int,
        terms: Tensor, channels: Tensor,
    ) -> Operation:  # fmt: skip
        # In bfloat16 a vector of one channel alone has the images of two blocks.
        together = 1 if kind < kernel.LEARN else self.pack
        block = torch.arange(self.blocks // together)[:, None]
        operation = Operation(kind=kind, n_terms=len(terms), n_outputs=outputs,
                              n_pixels=len(at_x), n_blocks=together)  # fmt: skip
        tables = {"at_x": at_x + block * x_block, "at_y": at_y + block * y_block,
                  "terms": terms, "outputs": channels}  # fmt: skip
        for name, table in tables.items():
            self._kept.append(table.to(torch.int32).contiguous())
            setattr(operation, name, self._kept[-1].data_ptr())
        self._operations.append(operation)
        return operation

    def _sums(self, parameters: Tensor, place: Tensor, size: int) -> int:
        start = self._n_sums
        self._places[parameters] = start + place
        self._n_sums += size
        return start * torch.float32.itemsize

    def link(self) -> None:
        """Gives all operations so far their memory for weights, biases and sums."""
        self._weight_of, self._bias_of = map(torch.cat, (self._weights, self._biases))
        self._packed = torch.empty(len(self._weight_of), dtype=self.dtype)
        self._bias = torch.empty(len(self._bias_of))
        self._sum = torch.zeros(self._n_sums)
        for operation in self._operations:
            if operation.kind < kernel.LEARN:
                operation.weights = self._packed.data_ptr() + (operation.weights or 0)
                operation.bias = self._bias.data_ptr() + (operation.bias or 0)
            elif operation.kind != kernel.SPREAD:
                operation.sums = self._sum.data_ptr() + (operation.sums or 0)

    def begin(self, weights_P: Tensor) -> None:
        """Takes a network's weights, and forgets the gradients of the last one's."""
        known = torch.cat([weights_P, weights_P.new_zeros(1)])
        self._packed.copy_(known[self._weight_of])
        torch.index_select(known, 0, self._bias_of, out=self._bias)
        self._sum.zero_()

    def gradient(self) -> Tensor:
        """[P], of all images since `begin`."""
        return self._sum[self._places]

    def stage(self, operations: Sequence[Operation]):
        """A function that does them on so many blocks."""
        array = (Operation * len(operations))(*operations)
        return lambda blocks: self._run(array, len(array), blocks)


def _up(count: int, of: int) -> int:
    """`count` filled up to a multiple."""
    return -(-count // of) * of


def _planes(of: Map, channels: int, offsets: Tensor | None = None) -> Tensor:
    """Offsets in each of so many channels or pairs of them; without any, its beginning."""
    start = torch.arange(channels)[:, None] * of.plane
    return (start if offsets is None else start + offsets).flatten()
