"""What training/kernel.c has to do for a network, and where each parameter and its gradient is."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training import kernel
from training.joins import Join, Map, Product
from training.kernel import LANES, Batch, Operation

# What MULTIPLY makes at once; the weights that LEARN adds up at once, and LEARN_FLAT.
_TILES, _SQUARE, _FLAT = (2, 4, 8), (4, 4), (8, 32)

Stage = Callable[[int], None]


class Program:
    """Operations on `blocks` of 16 images, for a network of `count` parameters."""

    def __init__(self, count: int, blocks: int, *, bf16: bool) -> None:
        library = kernel.load(bf16=bf16)
        assert library is not None, "who wants a program has asked for the kernel"
        self._run = library.run
        self.pack, self.dtype = (2, torch.bfloat16) if bf16 else (1, torch.float32)
        self.count, self.blocks = count, blocks
        self.batch = Batch()
        self._operations: list[Operation] = []
        self._tables: list[Tensor] = []  # kept, since operations only point to them
        self._weights: list[Tensor] = []
        self._biases: list[Tensor] = []
        self._places = torch.zeros(count, dtype=torch.long)
        self._n_sums = 0

    def load(self, images: Map) -> Operation:
        """Takes the noisy images of the batch."""
        at, channels = self._pixels(images), images.planes(images.words)
        return self._operation(
            kernel.LOAD, images.channels, images.height * images.width,
            y=images.value, at_y=at, outputs=channels,
        )  # fmt: skip

    def loss(self, answer: Map, *, sigmoid: bool) -> Operation:
        """Compares the answer with the clean images; the gradient is that before the sigmoid."""
        at, channels = self._pixels(answer), answer.planes(answer.words)
        return self._operation(
            kernel.LOSS_SIGMOID if sigmoid else kernel.LOSS,
            answer.channels, answer.height * answer.width,
            x=answer.value, y=answer.gradient, at_x=at, outputs=channels,
        )  # fmt: skip

    def values(self, join: Join) -> list[Operation]:
        """Forward: what a join makes of the map before it."""
        x, y = join.before, join.after
        kind = kernel.MULTIPLY_RELU if y.rectified else kernel.MULTIPLY
        return [self._multiply(product, kind, x, y, x.value, y.value, product.bias)
                for product in (join.ups() if join.up else [join.down()])]  # fmt: skip

    def gradients(self, join: Join, *, first: bool) -> list[Operation]:
        """Back: of the weights and biases, and of the map before them unless they are the first."""
        x, y = join.before, join.after
        found = [*self._spread(x, x.value, x.value_apart),
                 *self._spread(y, y.gradient, y.gradient_apart),
                 self._learn(join), self._add_up(join)]  # fmt: skip
        if not first:
            kind = kernel.MULTIPLY_MASKED if x.rectified else kernel.MULTIPLY
            found += [self._multiply(product, kind, y, x, y.gradient, x.gradient)
                      for product in ([join.down()] if join.up else join.ups())]  # fmt: skip
        return found

    def link(self) -> None:
        """Gives the operations memory for weights, biases and sums; there are no more of them."""
        self._weight_of, self._bias_of = torch.cat(self._weights), torch.cat(self._biases)
        self._packed = torch.empty(len(self._weight_of), dtype=self.dtype)
        self._bias, self._sum = torch.empty(len(self._bias_of)), torch.empty(self._n_sums)
        for operation in self._operations:
            for name, memory in (
                ("weights", self._packed), ("bias", self._bias), ("sums", self._sum)
            ):  # fmt: skip
                setattr(operation, name, memory.data_ptr() + (getattr(operation, name) or 0))

    def stage(self, operations: Sequence[Operation]) -> Stage:
        """A function that does them on so many blocks; they are linked."""
        array = (Operation * len(operations))(*operations)
        return lambda blocks: self._run(array, len(array), blocks, ctypes.byref(self.batch))

    def begin(self, weights_P: Tensor) -> None:
        """Takes the weights of a network, and forgets the gradient of the one before."""
        known = torch.cat([weights_P, weights_P.new_zeros(1)])
        # `known[...]` would take five times as long.
        self._packed.copy_(known.index_select(0, self._weight_of))
        torch.index_select(known, 0, self._bias_of, out=self._bias)
        self._sum.zero_()
        self.batch.squares = 0.0

    def gradient(self) -> Tensor:
        """[P], of all images since `begin`."""
        return self._sum.index_select(0, self._places)

    def _multiply(
        self, product: Product, kind: int, x: Map, y: Map, from_: Tensor, to: Tensor,
        biases: Tensor | None = None,
    ) -> Operation:  # fmt: skip
        outputs, terms, taps = product.weight.shape
        tile = next((size for size in _TILES if size >= outputs), _TILES[-1])
        # What fills up a tile or a pair is the parameter after the last, a zero.
        weight = torch.full((_up(outputs, tile), _up(terms, self.pack), taps), self.count)
        weight[:outputs, :terms] = product.weight
        bias = torch.full(weight.shape[:1], self.count)
        if biases is not None:
            bias[:outputs] = biases
        operation = self._operation(
            kind, outputs, len(product.at_x), x=from_, y=to, mask=y.value,
            at_x=self._blocks(product.at_x, x.block), at_y=self._blocks(product.at_y, y.block),
            terms=x.planes(x.words, product.taps), outputs=y.planes(len(bias) // self.pack),
        )  # fmt: skip
        operation.tile = tile
        operation.weights = sum(map(len, self._weights)) * self.dtype.itemsize
        operation.bias = sum(map(len, self._biases)) * torch.float32.itemsize
        weight = weight.view(len(bias) // tile, tile, x.words, self.pack, taps)
        self._weights.append(weight.permute(0, 2, 4, 1, 3).flatten())
        self._biases.append(bias)
        return operation

    def _learn(self, join: Join) -> Operation:
        product, small, large = join.down(), join.small, join.large
        outputs, terms, taps = product.weight.shape
        is_flat = len(product.at_x) == 1
        height, width = _FLAT if is_flat else _SQUARE
        rows, columns = _up(outputs, height), _up(terms * taps, width)
        weights = self._operation(
            kernel.LEARN_FLAT if is_flat else kernel.LEARN, rows, len(product.at_x),
            x=large.gradient_apart if join.up else large.value_apart,
            small=small.value_apart if join.up else small.gradient_apart,
            at_x=self._blocks(product.at_x, large.pair),
            at_y=self._blocks(product.at_y, small.pair),
            terms=_filled(large.planes(terms, product.taps), columns),
            outputs=_filled(small.planes(outputs), rows),
        )  # fmt: skip
        o, k = torch.arange(outputs)[:, None], torch.arange(terms * taps)
        square = o // height * (columns // width) + k // width
        place = square * height * width + o % height * width + k % width
        place = o * columns + k if is_flat else place
        weights.sums = self._sums(product.weight.flatten(1), place, rows * columns)
        return weights

    def _add_up(self, join: Join) -> Operation:
        after, pixels, none = join.after, join.after.pixels(), torch.zeros(1, dtype=torch.long)
        # A dense layer has a bias for every pixel of a map.
        shared, own = (pixels, none) if join.bias.ndim == 1 else (none, pixels)
        channels = after.planes(after.channels, own)
        size = _up(len(channels), LANES)
        biases = self._operation(
            kernel.SUM, len(channels), len(shared), x=after.gradient_apart,
            at_x=self._blocks(shared, after.pair), outputs=_filled(channels, size),
        )  # fmt: skip
        biases.sums = self._sums(join.bias.flatten(), torch.arange(len(channels)), size)
        return biases

    def _spread(self, of: Map, pairs: Tensor, apart: Tensor) -> list[Operation]:
        if self.pack == 1:
            return []
        return [self._operation(kernel.SPREAD, of.words, of.plane, x=pairs, y=apart)]

    def _operation(self, kind: int, channels: int, pixels: int, **memory: Tensor) -> Operation:
        # Where channels lie apart, a vector has the images of two blocks.
        apart = kind in (kernel.LEARN, kernel.LEARN_FLAT, kernel.SUM)
        operation = Operation(kind=kind, n_outputs=channels, n_pixels=pixels,
                              n_blocks=self.pack if apart else 1)  # fmt: skip
        operation.n_terms = len(memory.get("terms", ()))
        for name, each in memory.items():
            table = each if each.is_floating_point() else each.to(torch.int32).contiguous()
            self._tables.append(table)
            setattr(operation, name, table.data_ptr())
        self._operations.append(operation)
        return operation

    def _pixels(self, of: Map) -> Tensor:
        return self._blocks(of.pixels(), of.block)

    def _blocks(self, pixels: Tensor, block: int) -> Tensor:
        """Offsets of the pixels in every block."""
        return (torch.arange(self.blocks)[:, None] * block + pixels).flatten()

    def _sums(self, parameters: Tensor, place: Tensor, size: int) -> int:
        start = self._n_sums
        self._places[parameters] = start + place
        self._n_sums += size
        return start * torch.float32.itemsize


def _up(count: int, of: int) -> int:
    """`count` filled up to a multiple."""
    return -(-count // of) * of


def _filled(offsets: Tensor, size: int) -> Tensor:
    return torch.cat([offsets, offsets.new_zeros(size - len(offsets))])
