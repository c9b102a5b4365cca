"""A model whose graphs run on a device's own memory: see `service.bound`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.bound import Chain, run_options
from service.model import Floats, Images, Latents, Model
from service.runtime import sessions
from service.settings import Device

# What one run may hold, where nothing was prepared for images of that size.
_SLICE_NUMBERS = 64 * 512 * 512


class DeviceModel(Model):
    """The verbs on a device. All of it, from its making on, belongs to one thread."""

    def __init__(
        self,
        encoder: ort.InferenceSession,
        decoder: ort.InferenceSession,
        classifier: ort.InferenceSession | None = None,
        sampler: ort.InferenceSession | None = None,
        *,
        device: Device,
    ) -> None:
        super().__init__(encoder, decoder, classifier, sampler)
        self._device: Device = device
        self._chains = {
            "encode": Chain([encoder], device=device),
            "decode": Chain([decoder], device=device),
            "reconstruct": Chain([encoder, decoder], device=device),
        }
        if classifier:
            self._chains["classify"] = Chain([encoder, classifier], device=device)

    @classmethod
    def open_on(cls, folder: Path, *, device: Device, tf32: bool = False) -> DeviceModel:
        """Opens the graphs in `folder` on a device.

        Raises:
            DeviceError: the device is not there.
        """
        return cls(**sessions(folder, device=device, tf32=tf32), device=device)

    def prepare(self, image: Images, sizes: Sequence[int]) -> None:
        """Binds and captures every batch size for images like this one `[H,W,C]`."""
        latents = self.encode(image[None]).latents[0]
        graphs = itertools.count(1)
        for verb, chain in self._chains.items():
            row = latents if verb == "decode" else image
            chain.prepare(row, sizes, graphs=lambda: next(graphs))

    def encode(self, images_BHWC: Images) -> Latents:
        latents, *rest = self._through("encode", images_BHWC)
        return Latents(latents, rest[0] if rest else None)

    def decode(self, latents: Floats) -> Images:
        return self._through("decode", latents)[0]

    def reconstruct(self, images_BHWC: Images) -> Images:
        return self._through("reconstruct", images_BHWC)[0]

    def classify(self, images_BHWC: Images) -> Floats:
        if self.classifier is None:
            raise LookupError("this model has no classifier")
        return self._through("classify", images_BHWC)[0]

    def sample(self, normals: Floats, uniforms: Floats) -> Floats:
        if self.sampler is None:
            raise LookupError("this model has no sampler")
        given = {"normals": normals, "uniforms": uniforms}
        latents: Floats = self.sampler.run(None, given, run_options(self._device))[0]
        return latents

    def _through(self, verb: str, batch: NDArray[Any]) -> list[NDArray[Any]]:
        chain = self._chains[verb]
        size = max(1, _SLICE_NUMBERS // max(1, math.prod(batch.shape[1:])))
        if len(batch) <= size:
            return chain(batch)
        parts = [chain(batch[i : i + size]) for i in range(0, len(batch), size)]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
