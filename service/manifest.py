"""THE CONTRACT between `training`, which makes models, and `service`, which runs them.

A model is a folder `models/NAME/VERSION/` that holds

    encoder.onnx      images  uint8 [B,H,W,C]     -> latents float32 [B,...] (, log_variances)
    decoder.onnx      latents float32 [B,...]     -> images uint8 [B,H,W,C]
    classifier.onnx   latents                     -> probabilities float32 [B,K]   (some models)
    sampler.onnx      normals  float32 [B,...]    -> latents float32 [B,...]       (some models)
                      uniforms float32 [B]
    card.png          a picture of what it does                                    (for people)
    map.json          where test images lie among the latents, service/latent_map.py (some models)
    model.json        this manifest, written last: no manifest, no model

The sampler is a mixture of Gaussians fitted to the latents of the training images: `uniforms` in
[0, 1) choose the component, `normals`, shaped as the latents, the place in it. Random numbers are
inputs, so that a seed gives the same bytes wherever the graph runs.

`read` refuses a folder whose files are not, byte for byte, the ones that were published.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.errors import ManifestError

FILE = "model.json"

Ability = Literal["denoise", "reconstruct", "encode", "decode", "interpolate", "sample", "classify"]
Subject = Literal["model", "input", "linear", "pca", "report"]
Protocol = Literal["served", "report"]
Prior = Literal["standard", "mixture"]


class Record(BaseModel):
    """An immutable record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageShape(Record):
    """The images a model takes; a null height or width means any."""

    height: int | None = Field(ge=1)
    width: int | None = Field(ge=1)
    channels: Literal[1, 3]
    smallest: int = Field(
        default=1, ge=1, description="least height and width, where any size is taken"
    )
    channelwise: bool = Field(
        default=False,
        description="the graph takes one channel, and each channel of a colour image is an image "
        "of its own to it",
    )
    context: int = Field(
        default=32,
        ge=0,
        le=256,
        description="pixels around a place that its answer depends on by more than a grey level: "
        "so far do the tiles of a large image overlap",
    )

    @model_validator(mode="after")
    def _channels(self) -> Self:
        if self.channelwise and self.channels != 1:
            raise ValueError("a channelwise model's graph must take one channel")
        return self

    def __str__(self) -> str:
        colour = "grey" if self.channels == 1 else "colour"
        if self.channelwise:
            colour = "grey, or colour channel by channel"
        if self.height is None or self.width is None:
            return f"any size from {self.smallest}x{self.smallest}, {colour}"
        return f"{self.width}x{self.height} {colour}"

    def fits(self, height: int, width: int) -> bool:
        if min(height, width) < self.smallest:
            return False
        return self.height in (None, height) and self.width in (None, width)

    def keeps(self, channels: int) -> bool:
        """Whether an image with so many channels is taken with all of them."""
        return self.channelwise or channels == self.channels


class Score(Record):
    """One row of a model's quality table, measured on the whole test set.

    `subject` says who scored it: the model, the input as it came (doing nothing), a linear
    baseline, PCA with as many latents, or the report that the recipe is taken from.
    `served` is uint8 in, uint8 out through the exported graphs; `report` is the report's own
    protocol, described in `note`.
    """

    subject: Subject
    task: Literal["reconstruct", "denoise", "sample", "classify"]
    corruption: str | None = None
    protocol: Protocol = "served"
    values: dict[str, float]
    spread: dict[str, float] = {}
    seeds: int = Field(default=1, ge=1)
    images: int | None = None
    note: str = ""


class Golden(Record):
    """A known answer: what the model made of one test image where it was exported.

    Another processor may round a pixel the other way, hence `tolerance`, in grey levels.
    """

    image: str = Field(description="base64 PNG, the input")
    reconstruction: str = Field(description="base64 PNG, the answer")
    tolerance: int = 2


class Provenance(Record):
    """Where the model came from: enough to make it again."""

    commit: str
    created: str
    seed: int
    data: dict[str, str] = Field(description="sha256 of every data file that was read")
    versions: dict[str, str]
    device: str
    epochs: int
    seconds: float


class Manifest(Record):
    """Everything there is to know of one version of one model: the content of model.json."""

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    version: int = Field(ge=1)
    summary: str = Field(description="one sentence: what the model is and where it comes from")
    family: str
    dataset: str
    source: str = Field(description="the report that the recipe reproduces or improves on")
    image: ImageShape
    latent_shape: tuple[int | None, ...] = Field(
        description="without the batch axis; null follows the image's size"
    )
    variational: bool = False
    abilities: tuple[Ability, ...]
    corruption: str | None = Field(description="what it learned to undo, as in simulate=")
    classes: tuple[str, ...] = ()
    parameters: int
    recipe: str = Field(description="the line of training/recipes.py that made it")
    scores: tuple[Score, ...] = ()
    error_percentiles: tuple[float, ...] = Field(
        description="0th to 100th percentile of the reconstruction MSE over the test images"
    )
    noise_kurtosis_percentiles: tuple[float, ...] | None = Field(
        default=None,
        description="0th to 100th percentile, over test images with noise of levels it learned, "
        "of the excess kurtosis of what it took off; null where that is not known",
    )
    golden: Golden
    provenance: Provenance
    files: dict[str, str] = Field(description="sha256 of every other file in the folder")

    @field_validator("error_percentiles", "noise_kurtosis_percentiles")
    @classmethod
    def _percentiles(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and (len(values) != 101 or list(values) != sorted(values)):
            raise ValueError("must be 101 values that do not fall")
        return values

    @field_validator("files")
    @classmethod
    def _files(cls, files: dict[str, str]) -> dict[str, str]:
        for name, digest in files.items():
            if not re.fullmatch(r"[a-z_]+\.(onnx|png)|map\.json", name):
                raise ValueError(f"{name!r} is no file name that a model folder may hold")
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"the digest of {name} is no sha256")
        if not {"encoder.onnx", "decoder.onnx"} <= files.keys():
            raise ValueError("encoder.onnx and decoder.onnx must both be there")
        return files

    @model_validator(mode="after")
    def _abilities(self) -> Self:
        if self.image.channelwise and not {"denoise", "reconstruct"}.issuperset(self.abilities):
            # Latents of three channels would be three images' latents.
            raise ValueError("a channelwise model can denoise and reconstruct, and no more")
        return self

    @property
    def key(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def priors(self) -> tuple[Prior, ...]:
        """What its latents can be drawn from, the better first: the fitted mixture, the normal."""
        mixture: tuple[Prior, ...] = ("mixture",) if "sampler.onnx" in self.files else ()
        return (*mixture, "standard") if self.variational else mixture

    @property
    def test_images(self) -> int:
        """How many test images its quality was measured on."""
        return max((s.images or 0 for s in self.scores if s.subject == "model"), default=0)

    def served_psnr(self, task: Literal["reconstruct", "denoise"]) -> float:
        """Mean PSNR in dB of the model as served, at what it was trained for; -inf if unknown."""
        rows = [s for s in self.scores if s.subject == "model" and s.task == task]
        rows = [s for s in rows if s.protocol == "served" and "psnr" in s.values]
        own = [s for s in rows if s.corruption == self.corruption]
        return max((s.values["psnr"] for s in own or rows), default=float("-inf"))

    def served_accuracy(self) -> float:
        """The share of test images that its classifier gets right, as served; 0 if unknown."""
        rows = [s for s in self.scores if s.subject == "model" and s.task == "classify"]
        return max(
            (s.values.get("accuracy", 0.0) for s in rows if s.protocol == "served"), default=0.0
        )


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path) -> Manifest:
    """Reads `folder`/model.json and checks that every file is the one that was published.

    Raises:
        ManifestError: no manifest, one that breaks the contract, a folder in the wrong place,
            or a file that is missing or has changed.
    """
    path = folder / FILE
    if path.exists() and not path.is_file():  # a pipe would keep whoever reads it waiting for ever
        raise ManifestError(f"{FILE} is no file")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ManifestError(f"{folder.parent.name}/{folder.name} has no {FILE}") from None
    except OSError as error:
        raise ManifestError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise ManifestError(f"{FILE}: {where}: {first['msg']}") from error
    if (folder.parent.name, folder.name) != (manifest.name, str(manifest.version)):
        raise ManifestError(
            f"{FILE} says {manifest.key}, but lies in {folder.parent.name}/{folder.name}"
        )
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise ManifestError(f"{name} is missing")
        try:
            found = digest(folder / name)
        except OSError as error:
            raise ManifestError(f"{name} cannot be read: {error.strerror}") from None
        if found != expected:
            raise ManifestError(
                f"{name} has changed: sha256 {found[:12]}…, but {FILE} says {expected[:12]}…"
            )
    return manifest


def write(staging: Path, manifest: Manifest, models: Path) -> Path:
    """Publishes the files in `staging` as `models`/NAME/VERSION, replacing that version.

    The digests are taken here, the manifest is written last and the folder renamed into place,
    so that a reader sees all of a model or nothing of it. `staging` must lie on the same file
    system as `models` and is gone afterwards.
    """
    files = {p.name: digest(p) for p in sorted(staging.iterdir()) if p.name != FILE}
    complete = Manifest.model_validate({**manifest.model_dump(), "files": files})
    text = json.dumps(complete.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (staging / FILE).write_text(text + "\n", encoding="utf-8")
    target = models / complete.name / str(complete.version)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        retired = target.with_name(f".{target.name}.retired")
        shutil.rmtree(retired, ignore_errors=True)
        target.rename(retired)
        staging.rename(target)
        shutil.rmtree(retired)
    else:
        staging.rename(target)
    return target
