"""Tiles of large images: together they are the image, and their answers are the whole image's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import manifest
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


def large(reconstruct, shape: ImageShape, tiling, **changes) -> LargeImages:
    given = Settings(models_dir=MODELS, **changes)
    return LargeImages(
        reconstruct, shape, executor=tiling, settings=given, seconds_per_byte=1e-6
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
