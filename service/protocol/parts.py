"""What the protocol calls a model: an autoencoder, its encoder, its decoder, its classifier."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.catalog import Catalog
from service.errors import Malformed, NotFound, TooLarge
from service.manifest import Manifest
from service.served import Served
from service.settings import Settings

Datatype = Literal["UINT8", "FP32", "BYTES"]

ANY = -1
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as a graph takes or gives it; -1 is an axis of any length, the first the batch."""

    name: str
    datatype: Literal["UINT8", "FP32"]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} [{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Part:
    """One addressable model: a verb of a served autoencoder, with its tensors."""

    name: str
    served: Served
    verb: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]

    def check_shape(self, shape: tuple[int, ...], settings: Settings) -> None:
        """Refuses a shape that the graph does not take, before anything is queued.

        Raises:
            Malformed: another rank or size, no batch, or a larger one than is taken.
            TooLarge: more pixels than are taken in one request.
        """
        expected, card = self.input.shape, self.served.manifest
        fits = len(shape) == len(expected) and all(
            n >= 1 if m == ANY else n == m for n, m in zip(shape, expected, strict=True)
        )
        if fits and self.input.name == "images":
            fits = card.image.fits(*shape[1:3])
        if not fits:
            takes = f" ({card.image})" if self.input.name == "images" else ""
            raise Malformed(
                f"unexpected shape for input '{self.input.name}' for model '{self.name}'. "
                f"Expected {_brackets(expected)}{takes}, got {_brackets(shape)}"
            )
        check_batch(self, shape[0], settings)
        pixels = math.prod(shape[:3])
        if self.input.name == "latents":  # what they would become
            pixels = round(math.prod(shape) * self.served.pixels_per_latent)
        self.check_pixels(pixels, settings)

    def check_pixels(self, pixels: int, settings: Settings) -> None:
        """Refuses more pixels than a request for this part may bring.

        Raises:
            TooLarge: it does.
        """
        # Only whole models cut large images into tiles.
        limit = settings.max_pixels if self.verb == "reconstruct" else settings.whole_pixels
        if pixels > limit:
            raise TooLarge(
                f"{pixels} pixels in one request; up to {limit} are taken: send a smaller batch"
            )


def check_batch(part: Part, size: int, settings: Settings) -> None:
    """Refuses an empty batch, and one that is larger than a request may be.

    Raises:
        Malformed: it is.
    """
    if not 1 <= size <= settings.max_images:
        raise Malformed(
            f"inference request batch-size must be from 1 to {settings.max_images} for "
            f"'{part.name}', got {size}"
        )


def find(catalog: Catalog, name: str, version: str | None = None) -> Part:
    """The part of that name; the highest version unless one is given.

    Raises:
        NotFound: no such model, part or version.
        Malformed: the version is no positive integer.
    """
    if version is not None and not _VERSION.fullmatch(version):
        raise Malformed(f"version {version[:64]!r} should be an integer > 0")
    every = versions(catalog, name)
    if version is None and every:
        return every[-1]
    for part in every:
        if str(part.served.manifest.version) == version:
            return part
    raise unknown(name, version if every else None)


def versions(catalog: Catalog, name: str) -> list[Part]:
    """That part of every version that has it, rising; empty if there is none."""
    base = name.partition(".")[0]
    served = [catalog.get(base, version) for version in catalog.versions(base)]
    return [part for each in served for part in of(each) if part.name == name]


def unknown(name: str, version: str | None = None) -> NotFound:
    """What Triton says, word for word, since its users search for these words."""
    which = f" version {version}" if version else ""
    return NotFound(f"Request for unknown model: '{name[:200]}'{which} is not found")


def of(served: Served) -> Iterator[Part]:
    """The parts that a model can be addressed by: the whole first."""
    card = served.manifest
    images, latents = _images(card), _latents(card, "latents")
    encoded = (latents, _latents(card, "log_variances")) if card.variational else (latents,)
    yield Part(card.name, served, "reconstruct", images, (images,))
    if "encode" in card.abilities:
        yield Part(f"{card.name}.encoder", served, "encode", images, encoded)
    if "decode" in card.abilities:
        yield Part(f"{card.name}.decoder", served, "decode", latents, (images,))
    if "classify" in card.abilities:
        probabilities = TensorSpec("probabilities", "FP32", (ANY, len(card.classes)))
        yield Part(f"{card.name}.classifier", served, "classify", images, (probabilities,))


def _images(card: Manifest) -> TensorSpec:
    height, width = card.image.height or ANY, card.image.width or ANY
    return TensorSpec("images", "UINT8", (ANY, height, width, card.image.channels))


def _latents(card: Manifest, name: str) -> TensorSpec:
    return TensorSpec(name, "FP32", (ANY, *(n or ANY for n in card.latent_shape)))


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape[:16]))}]"
