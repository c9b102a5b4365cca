"""One admitted version of a model, behind its queues."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.admission import admit
from service.backlog import Backlog
from service.batching import Batcher, Run
from service.sampling import unpacked
from service.settings import Settings
from service.statistics import Statistics

Array = NDArray[Any]


@dataclass(frozen=True)
class Batched:
    """What a list of inputs became, in their order, the seconds of it, and its largest run."""

    outputs: list[tuple[Array, ...]]
    queue: float
    infer: float
    images: int


class Served:
    """One admitted version of a model, behind its queues."""

    def __init__(self, folder: Path, executor: Executor, settings: Settings) -> None:
        self.manifest, model, self.golden = admit(folder, device=settings.device)
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
        self.backlog = Backlog(
            max_images=settings.max_waiting, max_bytes=settings.max_waiting_bytes
        )
        self._queues = {
            verb: Batcher(
                function, executor=executor, max_batch=settings.max_batch, backlog=self.backlog
            )
            for verb, function in verbs.items()
        }

    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one image's latents; the least, where it follows the image's size."""
        return tuple(axis or 1 for axis in self.manifest.latent_shape)

    def statistics(self, verb: str) -> Statistics:
        """What that verb's queue did since the model was loaded."""
        return self._queues[verb].statistics

    async def run(self, verb: str, batch: Array, *, deadline: float = math.inf) -> Run:
        """One batch `[B,...]` through encode, decode, reconstruct, classify or sample.

        Raises as `Batcher.submit` does.
        """
        return await self._queues[verb].submit(batch, deadline=deadline)

    async def run_each(
        self, verb: str, items: Sequence[Array], *, deadline: float = math.inf
    ) -> Batched:
        """Items of any mixture of shapes, each shape as one batch; outputs in the items' order."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, item in enumerate(items):
            groups.setdefault(item.shape, []).append(i)
        outputs: list[tuple[Array, ...]] = [()] * len(items)
        queue, infer, together = 0.0, 0.0, 0
        for places in groups.values():
            run = await self.run(verb, np.stack([items[i] for i in places]), deadline=deadline)
            queue, infer = max(queue, run.queue), infer + run.infer
            together = max(together, run.images)
            for row, place in enumerate(places):
                outputs[place] = tuple(output[row] for output in run.outputs)
        return Batched(outputs, queue, infer, together)

    async def answers_as_known(self) -> bool:
        """Whether the known image, through the real queue, still gives the known answer."""
        run = await self.run("reconstruct", self.golden.image[None])
        return self.golden.holds(run.outputs[0][0])
