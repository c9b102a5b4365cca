"""What a model can do, over its exported graphs: encode, decode, reconstruct, classify, sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.runtime import sessions
from service.turns import power_of_two

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Bounds the memory of activations whatever the size of the batch: whole test sets come here too.
# Which slices a network is fastest with is for its queues to find out: see `service.turns`.
_SLICE_NUMBERS = 256 * 32 * 32

# What a run under these options leaves unused goes back to the system.
_GIVE_BACK = ort.RunOptions()
_GIVE_BACK.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")


class Latents(NamedTuple):
    """Latents `[B,...]`, and their log-variances where the model is variational."""

    latents: Floats
    log_variances: Floats | None


class Model:
    """The verbs of one model; every method may be called from several threads at once."""

    def __init__(
        self,
        encoder: ort.InferenceSession,
        decoder: ort.InferenceSession,
        classifier: ort.InferenceSession | None = None,
        sampler: ort.InferenceSession | None = None,
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.classifier = classifier
        self.sampler = sampler
        # Asking a session for its tensors' names takes as long as asking it to run a small one;
        # and what its Python checks of them before each run, the runtime itself checks again.
        graphs = (encoder, decoder, classifier)
        self._runs = {
            graph: (
                getattr(graph, "_sess", graph).run,
                graph.get_inputs()[0].name,
                [output.name for output in graph.get_outputs()],
            )
            for graph in graphs
            if graph
        }

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1) -> Model:
        """Opens the graphs in `folder`; the manifest is the catalog's business."""
        return cls(**sessions(folder, threads=threads))

    def encode(self, images_BHWC: Images) -> Latents:
        """Latents of uint8 images `[B,H,W,C]`."""
        latents, *rest = self._run(self.encoder, images_BHWC)
        return Latents(latents, rest[0] if rest else None)

    def decode(self, latents: Floats) -> Images:
        """uint8 images `[B,H,W,C]` of latents `[B,...]`."""
        (images,) = self._run(self.decoder, latents)
        return images

    def reconstruct(self, images_BHWC: Images) -> Images:
        """uint8 images through the bottleneck and back; a denoiser denoises so."""
        size = self._slice(images_BHWC)
        if len(images_BHWC) <= size:
            return self._through_both(images_BHWC)
        # Slice by slice through both graphs: the latents never exist all at once.
        parts = [
            self._through_both(images_BHWC[i : i + size]) for i in range(0, len(images_BHWC), size)
        ]
        return np.concatenate(parts)

    def give_back(self, few_BHWC: Images) -> None:
        """The memory of large images' activations, by a run of a few small ones, on a CPU."""
        latents = self._run_whole(self.encoder, few_BHWC, _GIVE_BACK)[0]
        self._run_whole(self.decoder, latents, _GIVE_BACK)

    def classify(self, images_BHWC: Images) -> Floats:
        """Class probabilities `[B,K]`, from the latents.

        Raises:
            LookupError: the model has no classifier.
        """
        if self.classifier is None:
            raise LookupError("this model has no classifier")
        (probabilities,) = self._run(self.classifier, self.encode(images_BHWC).latents)
        return probabilities

    def sample(self, normals: Floats, uniforms: Floats) -> Floats:
        """Latents `[B,...]` drawn from the fitted mixture by random numbers `[B,...]` and `[B]`.

        Raises:
            LookupError: the model has no sampler.
        """
        if self.sampler is None:
            raise LookupError("this model has no sampler")
        latents: Floats = self.sampler.run(None, {"normals": normals, "uniforms": uniforms})[0]
        return latents

    def _through_both(self, images_BHWC: Images) -> Images:
        latents, *_ = self._run_whole(self.encoder, images_BHWC)
        (images,) = self._run_whole(self.decoder, latents)
        return images

    @staticmethod
    def _slice(batch: NDArray[Any]) -> int:
        elements = batch.size // (len(batch) or 1)
        return power_of_two(_SLICE_NUMBERS // (elements or 1))

    def _run(self, session: ort.InferenceSession, batch: NDArray[Any]) -> list[NDArray[Any]]:
        size = self._slice(batch)
        if len(batch) <= size:
            return self._run_whole(session, batch)
        parts = [self._run_whole(session, batch[i : i + size]) for i in range(0, len(batch), size)]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _run_whole(
        self,
        session: ort.InferenceSession,
        batch: NDArray[Any],
        options: ort.RunOptions | None = None,
    ) -> list[NDArray[Any]]:
        run, taken, given = self._runs[session]
        outputs: list[NDArray[Any]] = run(given, {taken: batch}, options)
        return outputs
