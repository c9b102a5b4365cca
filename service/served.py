"""One admitted version of a model, behind its queues."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import channels
from service.admission import admit
from service.backlog import Backlog
from service.batching import Batcher
from service.large import LargeImages, is_large
from service.lull import Lull
from service.model import Model
from service.progress import Progress
from service.rows import Rows
from service.sampling import unpacked
from service.settings import Settings
from service.statistics import Statistics
from service.turns import Run

Array = NDArray[Any]


class Batched(NamedTuple):
    """Each output of the rows, in their order, the seconds of it all, and its largest run."""

    outputs: tuple[Rows, ...]
    queue: float
    infer: float
    images: int


class Served:
    """One admitted version of a model, behind its queues."""

    def __init__(
        self,
        folder: Path,
        executor: Executor,
        settings: Settings,
        *,
        tiling: Executor,
        lull: Lull,
    ) -> None:
        self.manifest, model, self.golden = admit(folder, settings)
        self._channelwise = self.manifest.image.channelwise
        card = self.manifest
        self.key, self.title = (card.name, card.version), card.key
        self.names = (  # of every answer's headers
            (b"model-name", card.name.encode()),
            (b"model-version", str(card.version).encode()),
        )
        shape = self.latent_shape()  # not self below: a cycle would outlive an unload
        verbs: dict[str, Callable[[Array], tuple[Array, ...]]] = {
            "encode": lambda batch: tuple(x for x in model.encode(batch) if x is not None),
            "decode": lambda batch: (model.decode(batch),),
            "reconstruct": lambda batch: (model.reconstruct(batch),),
            "classify": lambda batch: (model.classify(batch),),
            "sample": lambda packed: (model.sample(*unpacked(packed, shape)),),
        }
        known = self.golden.image[None]
        self.pixels_per_latent = known[..., 0].size / model.encode(known).latents.size
        started = time.perf_counter()
        model.reconstruct(known)
        seconds_per_byte = (time.perf_counter() - started) / known.nbytes
        self.backlog = Backlog(
            max_images=settings.max_waiting, max_bytes=settings.max_waiting_bytes
        )
        self._queues = {
            verb: Batcher(
                function,
                executor=executor,
                max_batch=settings.max_batch,
                backlog=self.backlog,
                seconds_per_byte=seconds_per_byte,
                in_place=settings.device == "cpu",
                lull=lull,
            )
            for verb, function in verbs.items()
        }

        self._large = self._behind_tiles(folder, model, tiling, settings, seconds_per_byte)

    def _behind_tiles(
        self, folder: Path, model: Model, executor: Executor, settings: Settings, known: float
    ) -> LargeImages | None:
        """What large images go through; none where the model's size is fixed."""
        shape = self.manifest.image
        if shape.height is not None or shape.width is not None:
            return None
        if settings.device == "cpu" and settings.threads > 1:  # a GPU has its own
            model = Model.open(folder, threads=settings.threads)
        few = self.golden.image[None]

        def give_back() -> None:
            if settings.device == "cpu":
                model.give_back(few)

        return LargeImages(
            model.reconstruct,
            shape,
            executor=executor,
            settings=settings,
            seconds_per_byte=known,
            give_back=give_back,
        )

    @property
    def waiting(self) -> int:
        """How many images wait for this model; a large one does until its last tile has run."""
        large = self._large.backlog.images if self._large else 0
        return self.backlog.images + large

    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one image's latents; the least, where it follows the image's size."""
        return tuple(axis or 1 for axis in self.manifest.latent_shape)

    def statistics(self, verb: str) -> Statistics:
        """What that verb's queue did since the model was loaded."""
        return self._queues[verb].statistics

    def all_statistics(self) -> list[Statistics]:
        """The same of every verb's queue."""
        return [queue.statistics for queue in self._every_queue()]

    def _every_queue(self) -> list[Batcher]:
        return [*self._queues.values(), *([self._large.queue] if self._large else [])]

    def run(self, verb: str, batch: Array, *, deadline: float = math.inf) -> Awaitable[Run]:
        """One batch `[B,...]` through encode, decode, reconstruct, classify or sample.

        Raises as `Batcher.submit` does.
        """
        if self._channelwise and batch.shape[-1] > 1:
            return self._run_apart(verb, batch, deadline)
        return self._queues[verb].submit(batch, deadline=deadline)

    async def _run_apart(self, verb: str, batch: Array, deadline: float) -> Run:
        """Each channel as an image of its own."""
        run = await self._queues[verb].submit(channels.apart(batch), deadline=deadline)
        return run._replace(outputs=(channels.joined(run.outputs[0], batch.shape[-1]),))

    def run_each(
        self,
        verb: str,
        rows: Rows,
        *,
        deadline: float = math.inf,
        progress: Progress | None = None,
    ) -> Awaitable[Run | Batched]:
        """Rows of any mixture of shapes, those of one shape as one batch; large images in tiles."""
        if self._large is None and progress is None and not isinstance(rows, list):
            return self.run(verb, rows, deadline=deadline)
        if progress:
            progress.expect(sum(self._steps(verb, row) for row in rows))
        if isinstance(rows, list):
            return self._run_groups(verb, rows, deadline, progress)
        return self._run(verb, rows, deadline, progress)

    async def _run_groups(
        self, verb: str, rows: list[Array], deadline: float, progress: Progress | None
    ) -> Batched:
        made: list[tuple[Array, ...]] = [()] * len(rows)
        queue, infer, images = 0.0, 0.0, 0
        for places in self._groups(verb, rows):
            first, *others = places
            batch = np.stack([rows[i] for i in places]) if others else rows[first][None]
            run = await self._run(verb, batch, deadline, progress)
            queue, infer = max(queue, run.queue), infer + run.infer
            images = max(images, run.images)
            for place, outputs in zip(places, zip(*run.outputs, strict=True), strict=True):
                made[place] = outputs
        columns = tuple(map(list, zip(*made, strict=True)))
        return Batched(columns, queue, infer, images)

    def _groups(self, verb: str, rows: Sequence[Array]) -> Iterable[list[int]]:
        """Places of rows that run together: those of one shape, and each large image alone."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, row in enumerate(rows):
            alone = (i,) if self._in_tiles(verb, row) else ()
            groups.setdefault((*row.shape, *alone), []).append(i)
        return groups.values()

    def _run(
        self, verb: str, batch: Array, deadline: float, progress: Progress | None
    ) -> Awaitable[Run]:
        if self._large is not None and self._in_tiles(verb, batch[0]):
            return self._large.run(batch, deadline=deadline, progress=progress)
        running = self.run(verb, batch, deadline=deadline)
        return _advancing(progress, running, len(batch)) if progress else running

    def large_pixels(self, verb: str, rows: Rows) -> int:
        """How many pixels the large images among the rows have."""
        if self._large is None or verb != "reconstruct":
            return 0
        if not isinstance(rows, list) and not is_large(rows[0]):
            return 0
        return sum(row.shape[0] * row.shape[1] for row in rows if is_large(row))

    def _in_tiles(self, verb: str, image: Array) -> bool:
        return self._large is not None and verb == "reconstruct" and is_large(image)

    def _steps(self, verb: str, image: Array) -> int:
        """How many steps of progress an image is: its tiles, or one."""
        if self._large is None or not self._in_tiles(verb, image):
            return 1
        return self._large.steps(image)

    async def answers_as_known(self) -> bool:
        """Whether the known image, through the real queue, still gives the known answer."""
        run = await self.run("reconstruct", self.golden.image[None])
        return self.golden.holds(run.outputs[0][0])

    def overdue(self, patience: float) -> bool:
        """Whether a run under way, of any verb, should have ended at least `patience` s ago."""
        return any(queue.overdue(patience) for queue in self._every_queue())

    @property
    def idle(self) -> bool:
        """Whether nothing of this model runs or waits to run."""
        return all(queue.idle for queue in self._every_queue())


async def _advancing(progress: Progress, running: Awaitable[Run], images: int) -> Run:
    run = await running
    progress.advance(images)
    return run
