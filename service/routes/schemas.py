"""The JSON that the routes take and give, as /docs shows it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.interpolation import Path
from service.manifest import Prior


class ImagesJson(BaseModel):
    """The JSON body: base64 or data URIs."""

    model_config = ConfigDict(extra="forbid")

    images: list[str] = Field(description="encoded images in base64, or as data URIs")


class ScoredImagesJson(ImagesJson):
    """The JSON body of POST /denoise."""

    references: list[str] | None = Field(
        default=None, description="the clean originals to score against, as many as images"
    )


class LatentsJson(BaseModel):
    """The JSON body of POST /decode."""

    model_config = ConfigDict(extra="forbid")

    latents: list[Any] = Field(
        description="numbers `[B,...]` as POST /encode gives them; for one image, without the B"
    )


class ModelName(BaseModel):
    """The model that answered."""

    name: str = Field(examples=["mnist-vae-6"])
    version: int = Field(examples=[1])


class Timing(BaseModel):
    """Milliseconds in the queue, in the model, and since the request came."""

    queue: float = Field(examples=[0.018])
    infer: float = Field(examples=[1.051])
    total: float = Field(examples=[3.366])


class Answer(BaseModel):
    """What every JSON answer has."""

    model: ModelName
    timing_ms: Timing


class ImagesAnswer(Answer):
    """The JSON answer of the routes that give images."""

    images: list[str] = Field(description="base64 PNG", examples=[["iVBORw0KGgo…"]])


class Scores(BaseModel):
    """Quality on pixels in [0, 1]; null where it is not defined (SSIM below 11x11 pixels)."""

    mse: float = Field(examples=[0.003073])
    psnr: float = Field(description="dB, capped at 100", examples=[25.12])
    ssim: float | None = Field(examples=[0.9035])
    snr: float = Field(description="dB, within [-100, 100]", examples=[14.61])


class Scored(BaseModel):
    """Per image, and the mean over the images."""

    mean: Scores
    per_image: list[Scores]


class DenoiseQuality(BaseModel):
    """Against the clean reference: the noisy input, the denoised answer, and the difference."""

    before: Scored
    after: Scored
    gain_db: float = Field(description="mean PSNR after less before", examples=[8.379])


class ReconstructQuality(Scored):
    """Of the reconstruction, against the input."""

    anomaly_percentile: list[float] = Field(
        description="per image: the share in percent of the model's own test images that it "
        "reconstructs with a smaller error; near 100 the image is unlike what it learned",
        examples=[[43.7]],
    )


class DenoiseAnswer(ImagesAnswer):
    """The JSON answer of POST /denoise."""

    quality: DenoiseQuality | None
    noise_std: list[float | None] | None = Field(
        default=None,
        description="per image: the standard deviation of its noise, in grey levels of 255, "
        "estimated from what was taken off; null for models of one size and for images of fewer "
        "than 64 blocks of 8x8 pixels",
        examples=[[24.6]],
    )
    noise_anomaly_percentile: list[float | None] | None = Field(
        default=None,
        description="per image: the share in percent of the model's own noisy test images whose "
        "residual is closer to normal noise; near 100 what was taken off is unlike the noise that "
        "the model learned. null as `noise_std`, below one grey level of noise, and for models "
        "whose card has no `noise_kurtosis_percentiles`",
        examples=[[43.7]],
    )
    noisy: list[str] | None = Field(default=None, description="with simulate: what was denoised")
    seed: int | None = Field(default=None, description="with simulate: repeats the same noise")


class ReconstructAnswer(ImagesAnswer):
    """The JSON answer of POST /reconstruct."""

    quality: ReconstructQuality | None


class DecodeAnswer(ImagesAnswer):
    """The JSON answer of POST /decode."""


class InterpolateAnswer(ImagesAnswer):
    """The JSON answer of POST /interpolate: the first and last image are the reconstructions."""

    path: Path


class SampleAnswer(ImagesAnswer):
    """The JSON answer of POST /sample."""

    seed: int = Field(description="repeats the same images", examples=[1])
    temperature: float
    prior: Prior = Field(description="what was drawn from")


class EncodeAnswer(Answer):
    """The JSON answer of POST /encode; POST /decode takes it back to the bit."""

    latents: list[list[Any]] = Field(
        description="per image, nested as the latent shape is",
        examples=[[[-2.323, -0.2808, 1.204, 0.51, -0.93, 0.07]]],
    )
    log_variances: list[list[Any]] | None = Field(
        description="of a variational model: the log of each latent's variance, as `latents`"
    )


class Prediction(BaseModel):
    """What one image shows."""

    label: str = Field(description="the most probable class", examples=["9"])
    probability: float = Field(description="its probability", examples=[0.97])
    probabilities: dict[str, float] = Field(
        description="of every class; they add up to 1", examples=[{"4": 0.03, "9": 0.97}]
    )


class ClassifyAnswer(Answer):
    """The JSON answer of POST /classify."""

    classes: list[str] = Field(
        description="in the order of the npy answer's columns", examples=[["4", "9"]]
    )
    predictions: list[Prediction]
