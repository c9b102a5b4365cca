"""Whether a model folder may be served: its digests, its signature and its golden answer hold."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service import images, manifest
from service.device_model import DeviceModel
from service.errors import DeviceError, ManifestError
from service.images import Images
from service.manifest import Manifest
from service.model import Model
from service.settings import Settings

_UINT8, _FLOAT = "tensor(uint8)", "tensor(float)"


@dataclass(frozen=True)
class Golden:
    """The known image `[H,W,C]` and the known answer."""

    image: Images
    answer: Images
    tolerance: int

    def holds(self, answer: Images) -> bool:
        """Whether `answer` is the known one, but for rounding."""
        if answer.shape != self.answer.shape or answer.dtype != self.answer.dtype:
            return False
        return bool(np.abs(answer.astype(int) - self.answer).max() <= self.tolerance)


def admit(folder: Path, settings: Settings) -> tuple[Manifest, Model, Golden]:
    """Reads, opens and tries one model.

    Raises:
        ManifestError: anything in it does not hold; the message says what.
        DeviceError: the device asked for is not there, which is no fault of the model's.
    """
    card = manifest.read(folder)
    try:
        model = _opened(folder, settings)
        golden = Golden(
            _image(card.golden.image), _image(card.golden.reconstruction), card.golden.tolerance
        )
    except DeviceError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no common root
        reason = str(error).replace(str(folder), "")[:200]
        raise ManifestError(f"its graphs do not open: {reason}") from error
    _check_signature(card, model)
    if isinstance(model, DeviceModel) and None not in (card.image.height, card.image.width):
        model.prepare(golden.image, [int(size) for size in settings.device_batches.split(",")])
    try:
        answer = model.reconstruct(golden.image[None])[0]
    except Exception as error:
        raise ManifestError(f"its graphs do not run: {str(error)[:200]}") from error
    if not golden.holds(answer):
        raise ManifestError("its golden image no longer gives the golden answer")
    return card, model, golden


def _opened(folder: Path, settings: Settings) -> Model:
    if settings.device == "cpu":
        return Model.open(folder)
    return DeviceModel.open_on(folder, device=settings.device, tf32=settings.tf32)


def _image(base64_png: str) -> Images:
    return images.decode(base64.b64decode(base64_png))


def _check_signature(card: Manifest, model: Model) -> None:
    pixels = (None, card.image.height, card.image.width, card.image.channels)
    latents = (None, *card.latent_shape)
    encoded = [("latents", _FLOAT, latents)]
    if card.variational:
        encoded.append(("log_variances", _FLOAT, latents))
    taken = [("images", _UINT8, pixels)]
    _compare("encoder.onnx takes", model.encoder.get_inputs(), taken)
    _compare("encoder.onnx gives", model.encoder.get_outputs(), encoded)
    _compare("decoder.onnx takes", model.decoder.get_inputs(), encoded[:1])
    _compare("decoder.onnx gives", model.decoder.get_outputs(), taken)
    if (model.classifier is not None) != ("classify" in card.abilities):
        raise ManifestError("the ability classify and classifier.onnx must come together")
    if model.classifier:
        probabilities = [("probabilities", _FLOAT, (None, len(card.classes)))]
        _compare("classifier.onnx takes", model.classifier.get_inputs(), encoded[:1])
        _compare("classifier.onnx gives", model.classifier.get_outputs(), probabilities)
    if model.sampler:
        drawn = [("normals", _FLOAT, latents), ("uniforms", _FLOAT, (None,))]
        _compare("sampler.onnx takes", model.sampler.get_inputs(), drawn)
        _compare("sampler.onnx gives", model.sampler.get_outputs(), encoded[:1])
    if "sample" in card.abilities and not (card.variational or model.sampler):
        raise ManifestError("the ability sample needs a variational model or sampler.onnx")


def _compare(what: str, found: Sequence[Any], expected: Sequence[tuple[Any, ...]]) -> None:
    """Names and types must be equal; a null axis must be dynamic, any other exactly so long."""
    signature = [
        (node.name, node.type, tuple(n if isinstance(n, int) else None for n in node.shape))
        for node in found
    ]
    if signature != list(expected):
        raise ManifestError(f"{what} {signature}, but {manifest.FILE} says {list(expected)}")
