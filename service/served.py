"""One admitted version of a model, behind its queues."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import channels
from service.admission import admit
from service.backlog import Backlog
from service.batching import Batcher, Run
from service.rows import Rows
from service.sampling import unpacked
from service.settings import Settings
from service.statistics import Statistics

Array = NDArray[Any]


class Batched(NamedTuple):
    """Each output of the rows, in their order, the seconds of it all, and its largest run."""

    outputs: tuple[Rows, ...]
    queue: float
    infer: float
    images: int


class Served:
    """One admitted version of a model, behind its queues."""

    def __init__(self, folder: Path, executor: Executor, settings: Settings) -> None:
        self.manifest, model, self.golden = admit(folder, device=settings.device)
        self._channelwise = self.manifest.image.channelwise
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
            )
            for verb, function in verbs.items()
        }

    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one image's latents; the least, where it follows the image's size."""
        return tuple(axis or 1 for axis in self.manifest.latent_shape)

    def statistics(self, verb: str) -> Statistics:
        """What that verb's queue did since the model was loaded."""
        return self._queues[verb].statistics

    def all_statistics(self) -> list[Statistics]:
        """The same of every verb's queue."""
        return [queue.statistics for queue in self._queues.values()]

    async def run(self, verb: str, batch: Array, *, deadline: float = math.inf) -> Run:
        """One batch `[B,...]` through encode, decode, reconstruct, classify or sample.

        Raises as `Batcher.submit` does.
        """
        if self._channelwise and (count := batch.shape[-1]) > 1:
            planes = channels.apart(batch)
            run = await self._queues[verb].submit(planes, deadline=deadline)
            return run._replace(outputs=(channels.joined(run.outputs[0], count),))
        return await self._queues[verb].submit(batch, deadline=deadline)

    async def run_each(self, verb: str, rows: Rows, *, deadline: float = math.inf) -> Batched:
        """Rows of any mixture of shapes, those of one shape as one batch."""
        if not isinstance(rows, list):
            run = await self.run(verb, rows, deadline=deadline)
            return Batched(*run)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(row.shape, []).append(i)
        made: list[tuple[Array, ...]] = [()] * len(rows)
        queue, infer, images = 0.0, 0.0, 0
        for places in groups.values():
            run = await self.run(verb, np.stack([rows[i] for i in places]), deadline=deadline)
            queue, infer = max(queue, run.queue), infer + run.infer
            images = max(images, run.images)
            for place, outputs in zip(places, zip(*run.outputs, strict=True), strict=True):
                made[place] = outputs
        columns = tuple(map(list, zip(*made, strict=True)))
        return Batched(columns, queue, infer, images)

    async def answers_as_known(self) -> bool:
        """Whether the known image, through the real queue, still gives the known answer."""
        run = await self.run("reconstruct", self.golden.image[None])
        return self.golden.holds(run.outputs[0][0])

    def overdue(self, patience: float) -> bool:
        """Whether a run under way, of any verb, should have ended at least `patience` s ago."""
        return any(queue.overdue(patience) for queue in self._queues.values())

    @property
    def idle(self) -> bool:
        """Whether nothing of this model runs or waits to run."""
        return all(queue.idle for queue in self._queues.values())
