"""What a call gives: frozen, typed, with the model, the time it took and its quality."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service import images as codec
from service import npy
from service.manifest import Manifest, Score

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


@dataclass(frozen=True)
class ModelName:
    """The model that answered."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Timing:
    """Milliseconds in the queue, in the model, and in the service altogether."""

    queue: float = 0.0
    infer: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Scores:
    """Quality on pixels in [0, 1]; `ssim` is None where an image is smaller than 11x11."""

    mse: float
    psnr: float
    ssim: float | None
    snr: float


@dataclass(frozen=True)
class Scored:
    """Per image, and the mean over the images."""

    mean: Scores
    per_image: tuple[Scores, ...]


@dataclass(frozen=True)
class DenoiseQuality:
    """Against the clean original: the noisy input, the answer, and the PSNR gained in dB."""

    before: Scored
    after: Scored
    gain_db: float


@dataclass(frozen=True)
class ReconstructQuality(Scored):
    """Against the input. `anomaly_percentile`: near 100, the image is unlike what was learned."""

    anomaly_percentile: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What every call on images or latents gives."""

    model: ModelName
    timing_ms: Timing
    request_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Images(Result):
    """Images, in the order of what was sent, each uint8 `[H,W,C]`, alpha laid on white.

    `files` are those that the service sent, with the alpha and the ICC profile of what was sent;
    None where arrays came.
    """

    images: list[Image] = field(repr=False)
    files: list[bytes] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self.images)

    def __getitem__(self, place: int) -> Image:
        return self.images[place]

    def save(self, path: str | Path, *, columns: int | None = None) -> list[Path]:
        """Writes the images and says where.

        A `.png`, `.jpg` or `.webp` is one sheet of all of them, in rows of `columns`; a `.gif`
        moves; `.npy` is `[B,H,W,C]`; a path without a suffix is a folder of `0000.png` and on.

        Raises:
            ValueError: another suffix, or images of several sizes where one sheet was asked for.
        """
        target = Path(path)
        if not target.suffix:
            target.mkdir(parents=True, exist_ok=True)
            paths = [target / f"{i:04d}.png" for i in range(len(self))]
            for place, each in enumerate(paths):
                each.write_bytes(self.file(place, ".png"))
            return paths
        target.parent.mkdir(parents=True, exist_ok=True)
        suffix = target.suffix.lower()
        alone = len(self) == 1 and suffix in MEDIA_TYPES
        whole = self.file(0, suffix) if alone else as_file(self.images, suffix, columns)
        target.write_bytes(whole)
        return [target]

    def file(self, place: int, suffix: str) -> bytes:
        """One image as a `.png`, `.jpg` or `.webp`, with what `files` know of it."""
        kind = MEDIA_TYPES[suffix]
        if self.files is None:
            return codec.encode(self.images[place], kind)
        opened = codec.open_image(self.files[place], max_pixels=self.images[place].size)
        if codec.media_type(opened) == kind:
            return self.files[place]
        image, beside = codec.straight(opened)
        return codec.encode(image, kind, beside)


@dataclass(frozen=True, kw_only=True, eq=False)
class Denoised(Images):
    """Clean images. `noisy` and `seed` are there with `simulate`, quality with a reference too.

    `noise_std` is each image's estimated noise, in grey levels of 255, and near 100 of
    `noise_anomaly_percentile` it was no noise of the kind that the model learned. None where that
    is not known: small images, models of one size, and several arrays in one request.
    """

    quality: DenoiseQuality | None
    noise_std: tuple[float | None, ...]
    noise_anomaly_percentile: tuple[float | None, ...]
    noisy: list[Image] | None = field(repr=False)
    seed: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstructed(Images):
    """Images through the bottleneck and back, scored against themselves."""

    quality: ReconstructQuality | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled(Images):
    """New images; `seed` repeats them."""

    seed: int
    prior: str
    temperature: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Latents(Result):
    """Latents, one float32 array per image; so are the log-variances of a variational model."""

    latents: list[Floats] = field(repr=False)
    log_variances: list[Floats] | None = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Classified(Result):
    """`labels` are the most probable of `classes`; `probabilities` is float32 `[B,K]`."""

    classes: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: Floats = field(repr=False)


@dataclass(frozen=True)
class ModelSummary:
    """One line of the list of models."""

    name: str
    version: int
    summary: str
    dataset: str
    image: str
    latent_shape: tuple[int | None, ...]
    abilities: tuple[str, ...]
    corruption: str | None
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Models:
    """All that is served; `ranking` says, per ability, in which order `auto` tries them."""

    models: tuple[ModelSummary, ...]
    ranking: dict[str, tuple[str, ...]]
    refused: dict[str, str]

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[ModelSummary]:
        return iter(self.models)


@dataclass(frozen=True)
class Card:
    """A model's whole manifest, and its state in the process that answered."""

    manifest: Manifest
    versions: tuple[int, ...]
    waiting: int


@dataclass(frozen=True)
class Ready:
    """Whether a known image just gave its known answer through each model's real queue."""

    ready: bool
    models: dict[str, str]

    def __bool__(self) -> bool:
        return self.ready


def mean(per_image: Sequence[Scores]) -> Scores:
    """The mean of each score; of SSIM only where every image has one."""

    def average(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if len(known) == len(per_image) else None

    columns = {f.name: average(getattr(s, f.name) for s in per_image) for f in fields(Scores)}
    return Scores(**columns)  # type: ignore[arg-type]  # only SSIM can be missing


def as_file(images: Sequence[Image], suffix: str, columns: int | None = None) -> bytes:
    """A sheet, an animation or an array of the images, by the suffix. Raises as `Images.save`."""
    if suffix not in {*MEDIA_TYPES, ".gif", ".npy"}:
        raise ValueError(f"{suffix}: write .png, .jpg, .webp, .gif, .npy, or a folder")
    if len({image.shape for image in images}) != 1:
        raise ValueError(f"images of several sizes make no {suffix}: save them to a folder")
    stacked = np.stack(images)
    if suffix == ".gif":
        return codec.encode_gif(stacked, milliseconds=100)
    if suffix == ".npy":
        return npy.write(stacked)
    return codec.encode(codec.grid(stacked, columns=columns), MEDIA_TYPES[suffix])
