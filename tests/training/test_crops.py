from __future__ import annotations

import numpy as np
import torch

from training.crops import Crops, Whole
from training.data import Images
from training.seeds import generator


def pictures(count: int, height: int, width: int) -> Images:
    levels = torch.arange(count * height * width) % 251
    pixels = levels.to(torch.uint8).reshape(count, height, width, 1)
    return Images(pixels, torch.zeros(count).long())


def levels(x_BCHW: torch.Tensor) -> list[bytes]:
    return [image.tobytes() for image in (x_BCHW * 255).round().to(torch.uint8).numpy()]


def test_a_square_is_turned_in_all_eight_ways_and_no_other() -> None:
    images = pictures(1, 3, 3)
    square = images.pixels[0, :, :, 0].numpy()
    ways = {np.rot90(s, k).tobytes() for s in (square, square.T) for k in range(4)}
    drawn = Crops(3)(images, torch.zeros(400).long(), generator(0, "noise"))
    assert set(levels(drawn)) == ways


def test_crops_lie_everywhere_in_an_image_and_never_outside() -> None:
    images = pictures(1, 5, 9)
    rows, columns = np.mgrid[0:4, 0:8]
    squares = {
        tuple(sorted(images.pixels[0, y : y + 2, x : x + 2].flatten().tolist()))
        for y, x in zip(rows.flat, columns.flat, strict=True)
    }
    drawn = Crops(2)(images, torch.zeros(2000).long(), generator(0, "noise"))
    assert {tuple(sorted(crop)) for crop in levels(drawn)} == squares


def test_crops_are_of_the_images_asked_for() -> None:
    pixels = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1).expand(4, 8, 8, 1)
    drawn = Crops(4)(Images(pixels, torch.zeros(4)), torch.tensor([3, 0, 2]), generator(0, "noise"))
    assert (drawn * 255).round().amax((1, 2, 3)).tolist() == [3, 0, 2]


def test_crops_follow_from_seed_and_epoch() -> None:
    images, index = pictures(6, 20, 30), torch.arange(6)

    def drawn(seed: int, epoch: int) -> torch.Tensor:
        return Crops(8)(images, index, generator(seed, "noise", epoch))

    assert torch.equal(drawn(1, 2), drawn(1, 2))
    assert not torch.equal(drawn(1, 2), drawn(1, 3))
    assert not torch.equal(drawn(1, 2), drawn(2, 2))


def test_whole_images_take_no_random_numbers() -> None:
    images, draws = pictures(6, 4, 4), generator(0, "noise")
    before = draws.get_state()
    index = torch.tensor([4, 1])
    assert torch.equal(Whole()(images, index, draws), images.batch(index))
    assert torch.equal(draws.get_state(), before)


def test_crops_are_channels_last_as_batches_are() -> None:
    drawn = Crops(4)(pictures(2, 8, 8), torch.arange(2), generator(0, "noise"))
    assert drawn.is_contiguous(memory_format=torch.channels_last)
    assert drawn.dtype == torch.float32
