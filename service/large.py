"""Large images: cut into tiles that go through a queue of their own, a few of each image at a time.

Small images never wait behind them, and images of several callers take turns tile by tile. One
tile runs at a time in a process, on all of its threads, so that the memory of activations is
bounded whatever the size of the images and the number of models.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np

from service import channels
from service.backlog import Backlog
from service.batching import Batcher
from service.manifest import ImageShape
from service.progress import Progress
from service.settings import Settings
from service.tiling import Tile, tiles
from service.turns import Array, Run

log = logging.getLogger(__name__)

# More pixels than this go through the queue of tiles, if only as one. Fewer run in milliseconds
# and are joined with others.
SMALL = 256 * 256

# Tiles of one image that are in the queue at a time: the one that runs, and the next.
_AHEAD = 2
_ANY = 2**62


def is_large(image: Array) -> bool:
    """Whether an image `[H,W,C]` is large."""
    height, width, _ = image.shape
    return bool(height * width > SMALL)


class LargeImages:
    """The tiles of one model's large images, behind their queue."""

    def __init__(
        self,
        reconstruct: Callable[[Array], Array],
        shape: ImageShape,
        *,
        executor: Executor,
        settings: Settings,
        seconds_per_byte: float,
        give_back: Callable[[], None],
    ) -> None:
        self._context = max(shape.context, shape.smallest)
        self._channelwise = shape.channelwise
        self._seconds_per_byte = 0.0
        self._pixels = settings.tile_pixels
        self._executor, self._give_back = executor, give_back
        # Whole images are admitted here, once and for all; their tiles are not asked again.
        self.backlog = Backlog(
            max_images=settings.max_waiting, max_bytes=settings.max_waiting_bytes
        )
        self.queue = Batcher(
            lambda batch: (reconstruct(batch),),
            executor=executor,
            max_batch=1,
            backlog=Backlog(max_images=_ANY, max_bytes=_ANY),
            seconds_per_byte=seconds_per_byte,
            in_place=False,
        )

    def steps(self, image: Array) -> int:
        """How many tiles an image `[H,W,C]` is cut into."""
        return len(self._tiles(image))

    async def run(
        self, batch: Array, *, deadline: float = math.inf, progress: Progress | None = None
    ) -> Run:
        """Images `[B,H,W,C]` through the model, tile by tile.

        What has not begun when the caller leaves never runs, and is counted as dropped.

        Raises:
            Overloaded: too much waits already, or the answer would come too late.
            Exception: whatever the model raised.
        """
        seconds = batch.nbytes * self._seconds_per_byte
        self.backlog.admit(len(batch), batch.nbytes, seconds, deadline - time.monotonic())
        self.backlog.add(len(batch), batch.nbytes, seconds)
        cut = self._tiles(batch[0])
        waiting = deque((image, tile) for image in range(len(batch)) for tile in cut)
        a_step = seconds / len(waiting)
        under_way: deque[tuple[int, Tile, asyncio.Task[Run]]] = deque()
        made = np.empty_like(batch)
        queue, infer = 0.0, 0.0
        try:
            while waiting or under_way:
                while waiting and len(under_way) < _AHEAD:
                    image, tile = waiting.popleft()
                    task = asyncio.create_task(self._run(batch[image][tile.seen][None]))
                    under_way.append((image, tile, task))
                image, tile, task = under_way.popleft()
                run = await task
                kept = run.outputs[0][0][tile.kept]
                made[image][tile.core] = kept
                self._learn(run.infer / kept.nbytes)
                queue, infer = queue or run.queue, infer + run.infer
                self.backlog.done(a_step)
                if progress:
                    progress.advance()
        finally:
            for *_, task in under_way:
                task.cancel()
            self.queue.statistics.dropped(len(waiting), expired=time.monotonic() >= deadline)
            self.backlog.remove(len(batch), batch.nbytes)
            self.backlog.done(a_step * (len(waiting) + len(under_way)))
            # Before the answer is encoded on top; after one tile it costs more than it brings.
            if len(cut) > 1 and not self.backlog.images:
                with contextlib.suppress(RuntimeError):  # it is closed: the process ends
                    self._executor.submit(self._give_back).add_done_callback(_tell)
        return Run((made,), queue, infer, 1)

    async def _run(self, tile: Array) -> Run:
        depth = tile.shape[3]
        if not self._channelwise or depth == 1:
            return await self.queue.submit(tile)
        run = await self.queue.submit(channels.apart(tile))
        return run._replace(outputs=(channels.joined(run.outputs[0], depth),))

    def _tiles(self, image: Array) -> list[Tile]:
        height, width, _ = image.shape
        return tiles(height, width, context=self._context, pixels=self._pixels)

    def _learn(self, seconds_per_byte: float) -> None:
        known = self._seconds_per_byte or seconds_per_byte
        self._seconds_per_byte = known + 0.2 * (seconds_per_byte - known)


def _tell(given_back: Future[None]) -> None:
    """Nobody waits for it, so that a fault would be silent."""
    if not given_back.cancelled() and (fault := given_back.exception()):
        log.error("the memory of large images is not given back", exc_info=fault)
