"""Tiles of large images: together they are the image, and their answers are the whole image's."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import manifest
from service.errors import Overloaded
from service.large import LargeImages
from service.manifest import ImageShape
from service.model import Model
from service.progress import Progress
from service.settings import Settings
from service.tiling import STEP, tiles

pytestmark = pytest.mark.anyio

MODELS = Path(__file__).resolve().parents[2] / "models"
ANY_SIZE = [
    folder
    for folder in sorted(MODELS.glob("*/*"))
    if (folder / manifest.FILE).exists() and manifest.read(folder).image.height is None
]
LENGTH = st.one_of(st.integers(1, 300), st.integers(1, 2_000))


@settings(deadline=None, max_examples=60)
@given(LENGTH, LENGTH, st.integers(0, 64), st.sampled_from([2**14, 2**16, 2**18]))
def test_the_cores_are_the_image_and_each_is_seen_with_its_surroundings(h, w, context, pixels):
    cut = tiles(h, w, context=context, pixels=pixels)
    area = 0
    for tile in cut:
        for span, length in ((tile.rows, h), (tile.columns, w)):
            seen, core = span.seen, span.core
            assert 0 <= seen.start <= core.start < core.stop <= seen.stop <= length
            assert core.start - seen.start >= min(context, core.start)
            assert seen.stop - core.stop >= min(context, length - core.stop)
            assert seen.start % STEP == 0, "halved where the whole image is"
            assert span.kept == slice(core.start - seen.start, core.stop - seen.start)
        area += (tile.rows.core.stop - tile.rows.core.start) * (
            tile.columns.core.stop - tile.columns.core.start
        )
        around = -(-max(context, 1) // STEP) * STEP
        seen_pixels = (tile.rows.seen.stop - tile.rows.seen.start) * (
            tile.columns.seen.stop - tile.columns.seen.start
        )
        assert seen_pixels <= max(pixels, (STEP + 2 * around) ** 2), "the bound on memory"
    assert area == h * w, "and none twice"
    assert len({(t.rows.core.start, t.columns.core.start) for t in cut}) == len(cut)


def large(
    reconstruct, shape: ImageShape, tiling, *, give_back=lambda: None, **changes
) -> LargeImages:
    given = Settings(models_dir=MODELS, **changes)
    return LargeImages(
        reconstruct,
        shape,
        executor=tiling,
        settings=given,
        seconds_per_byte=1e-6,
        give_back=give_back,
    )


@pytest.fixture(scope="module")
def tiling():
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.mark.parametrize("folder", ANY_SIZE, ids=lambda folder: folder.parent.name)
@pytest.mark.parametrize("std", [3, 40])
async def test_a_models_answer_in_tiles_is_that_of_the_whole_image(folder, std, tiling):
    shape, model = manifest.read(folder).image, Model.open(folder)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:261, :407]
    plain = 127 + 80 * np.sin(rows / 9)[..., None] * np.cos(columns / (7 + rows / 50))[..., None]
    plain[:, 200:] = 40 * ((rows[:, 200:, None] // 13 + columns[:, 200:, None] // 11) % 6)
    noisy = plain + rng.normal(0, std, (261, 407, shape.channels))
    image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    whole = model.reconstruct(image[None])[0]
    in_tiles = large(model.reconstruct, shape, tiling, tile_pixels=2**14)
    assert in_tiles.steps(image) > 20
    run = await in_tiles.run(image[None])
    difference = np.abs(run.outputs[0][0].astype(int) - whole)
    assert difference.max() <= 1, f"{difference.max()} grey levels at most"
    assert (difference > 0).mean() < 0.005


@given(st.integers(4, 700), st.integers(4, 700), st.integers(0, 3), st.sampled_from([14, 15, 16]))
@settings(deadline=None, max_examples=20)
def test_so_is_it_for_any_size_and_tiling(height, width, seed, bits):
    height, width = min(height, 2**17 // width), min(width, 2**17 // height)
    folder = MODELS / "mnist-unet-denoise" / "1"
    shape, model = manifest.read(folder).image, Model.open(folder)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 1), dtype=np.uint8)

    async def run() -> np.ndarray:
        with ThreadPoolExecutor(1) as executor:
            runner = large(model.reconstruct, shape, executor, tile_pixels=2**bits)
            return (await runner.run(image[None])).outputs[0]

    whole = model.reconstruct(image[None])
    assert np.abs(asyncio.run(run()).astype(int) - whole).max() <= 1


GREY = ImageShape(height=None, width=None, channels=1)
PIXELS = np.random.default_rng(1).integers(0, 200, (2, 300, 290, 1), dtype=np.uint8)


class Slow:
    """Adds 50, and remembers what it ran; `stop` is asked before each run."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.go = threading.Semaphore(0)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        time.sleep(0.002)  # what takes no time at all runs on the event loop
        assert self.go.acquire(timeout=30)
        self.shapes.append(batch.shape)
        return batch + np.uint8(50)

    def free(self) -> None:
        for _ in range(10_000):
            self.go.release()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0.01)


async def test_several_images_and_channels_come_back_as_they_were(tiling):
    slow = Slow()
    slow.free()
    shape = GREY.model_copy(update={"channelwise": True})
    colour = np.repeat(PIXELS, 3, axis=3) // np.array([1, 2, 3], np.uint8)
    progress = Progress()
    runner = large(slow, shape, tiling, tile_pixels=2**14)
    run = await runner.run(colour, progress=progress)
    np.testing.assert_array_equal(run.outputs[0], colour + 50)
    assert {shape[0] for shape in slow.shapes} == {1}, "one channel of one tile at a time"
    assert {shape[3] for shape in slow.shapes} == {1}
    assert progress.done == 2 * runner.steps(colour[0])
    assert runner.backlog.images == runner.backlog.bytes == 0
    assert runner.backlog.seconds == pytest.approx(0)


async def test_what_has_not_begun_when_the_caller_leaves_never_runs(tiling):
    slow = Slow()
    runner = large(slow, GREY, tiling, tile_pixels=2**14)
    steps = runner.steps(PIXELS[0])
    task = asyncio.create_task(runner.run(PIXELS[:1]))
    slow.go.release()
    slow.go.release()
    await settled()
    task.cancel()
    await settled()
    assert len(slow.shapes) == 2
    assert runner.queue.statistics.departed == steps - 3, "one was under way"
    slow.free()
    await settled()
    assert len(slow.shapes) == 3
    assert runner.queue.idle
    assert runner.backlog.images == 0


async def test_memory_is_given_back_once_nothing_large_is_left_and_it_was_much(tiling):
    slow, given_back = Slow(), []
    runner = large(
        slow, GREY, tiling, tile_pixels=2**14, give_back=lambda: given_back.append(len(slow.shapes))
    )
    both = [asyncio.create_task(runner.run(PIXELS[i : i + 1])) for i in (0, 1)]
    await settled()
    slow.free()
    await asyncio.gather(*both)
    await settled()
    assert given_back == [2 * runner.steps(PIXELS[0])], "after the last tile of both"
    leaves = asyncio.create_task(runner.run(PIXELS[:1]))
    await asyncio.sleep(0)
    leaves.cancel()
    await settled()
    assert len(given_back) == 2, "whoever leaves has it given back too"
    alone = PIXELS[:1, :100, :100]
    assert runner.steps(alone[0]) == 1
    await runner.run(alone)
    await settled()
    assert len(given_back) == 2


async def test_two_callers_take_turns(tiling):
    slow = Slow()
    runner = large(slow, GREY, tiling, tile_pixels=2**14)
    firsts, seconds = Progress(), Progress()
    first = asyncio.create_task(runner.run(PIXELS[:1], progress=firsts))
    await settled()
    second = asyncio.create_task(runner.run(PIXELS[1:, :280], progress=seconds))
    for _ in range(16):
        slow.go.release()
    await settled()
    assert abs(firsts.done - seconds.done) <= 3
    slow.free()
    np.testing.assert_array_equal((await first).outputs[0], PIXELS[:1] + 50)
    np.testing.assert_array_equal((await second).outputs[0], PIXELS[1:, :280] + 50)


async def test_a_tile_that_fails_fails_its_image_and_no_other(tiling):
    calls = []

    def fails(batch: np.ndarray) -> np.ndarray:
        calls.append(batch)
        if len(calls) == 3:
            raise ValueError("broken")
        return batch

    runner = large(fails, GREY, tiling, tile_pixels=2**14)
    with pytest.raises(ValueError, match="broken"):
        await runner.run(PIXELS[:1])
    await settled()
    assert len(calls) <= 4
    assert (await runner.run(PIXELS[1:])).outputs[0].shape == PIXELS[1:].shape
    assert runner.backlog.images == 0


async def test_more_large_images_than_may_wait_are_refused(tiling):
    slow = Slow()
    runner = large(slow, GREY, tiling, tile_pixels=2**14, max_waiting=1)
    first = asyncio.create_task(runner.run(PIXELS[:1]))
    await settled()
    with pytest.raises(Overloaded, match="1 images wait"):
        await runner.run(PIXELS[1:])
    slow.free()
    await first
