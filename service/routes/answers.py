"""What a model made -> an answer of the kind that was asked for."""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Sequence

from fastapi import Request, Response
from pydantic import BaseModel, Field
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service import images
from service.catalog import Served
from service.errors import NotAcceptable
from service.images import Images
from service.quality import Quality

# Below this an encode costs less than the hop to another thread.
_INLINE_PIXELS = 256 * 256


class ModelName(BaseModel):
    """The model that answered."""

    name: str
    version: int


class Scores(BaseModel):
    """Quality on pixels in [0, 1]; null where it is not defined (SSIM below 11x11 pixels)."""

    mse: float
    psnr: float = Field(description="dB, capped at 100")
    ssim: float | None
    snr: float = Field(description="dB, within [-100, 100]")


class Scored(BaseModel):
    """Per image, and the mean over the images."""

    mean: Scores
    per_image: list[Scores]


class DenoiseQuality(BaseModel):
    """Against the clean reference: the noisy input, the denoised answer, and the difference."""

    before: Scored
    after: Scored
    gain_db: float = Field(description="mean PSNR after less before")


class ReconstructQuality(Scored):
    """Of the reconstruction, against the input."""

    anomaly_percentile: list[float] = Field(
        description="per image: the share in percent of the model's own test images that it "
        "reconstructs with a smaller error; near 100 the image is unlike what it learned"
    )


class Timing(BaseModel):
    """Milliseconds in the queue, in the model, and since the request came."""

    queue: float
    infer: float
    total: float


class ImagesAnswer(BaseModel):
    """The JSON answer of the routes that give images."""

    model: ModelName
    images: list[str] = Field(description="base64 PNG")
    timing_ms: Timing


class DenoiseAnswer(ImagesAnswer):
    """The JSON answer of POST /denoise."""

    quality: DenoiseQuality | None
    noisy: list[str] | None = Field(default=None, description="with simulate: what was denoised")
    seed: int | None = Field(default=None, description="with simulate: repeats the same noise")


class ReconstructAnswer(ImagesAnswer):
    """The JSON answer of POST /reconstruct."""

    quality: ReconstructQuality | None


class SampleAnswer(ImagesAnswer):
    """The JSON answer of POST /sample."""

    seed: int
    temperature: float


def negotiate(request: Request, kinds: Sequence[str]) -> str:
    """The media type to answer in: the best that Accept allows; the first of `kinds` if all do.

    Raises:
        NotAcceptable: Accept allows none of them.
    """
    accept = request.headers.get("accept", "*/*")
    if accept == "*/*":
        return kinds[0]
    best = parse_accept_header(accept, MIMEAccept).best_match(kinds)
    if best is None:
        raise NotAcceptable(
            f"Accept: {accept[:64]} leaves nothing: this route answers {' or '.join(kinds)}",
            extra={"available": list(kinds)},
        )
    return best


def scored(quality: Quality) -> Scored:
    """Quality as the API gives it."""
    rows = zip(quality.mse, quality.psnr, quality.ssim, quality.snr, strict=True)
    mean = quality.mean()
    return Scored(
        mean=_scores(mean["mse"], mean["psnr"], mean["ssim"], mean["snr"]),
        per_image=[_scores(*map(float, row)) for row in rows],
    )


def _scores(mse: float, psnr: float, ssim: float, snr: float) -> Scores:
    return Scores(mse=mse, psnr=psnr, ssim=None if math.isnan(ssim) else ssim, snr=snr)


async def encoded(pictures: Sequence[Images]) -> list[bytes]:
    """PNGs, made in another thread where they are large."""

    def encode() -> list[bytes]:
        return [images.encode_png(picture) for picture in pictures]

    small = sum(picture.size for picture in pictures) <= _INLINE_PIXELS
    return encode() if small else await asyncio.to_thread(encode)


async def base64_png(pictures: Sequence[Images]) -> list[str]:
    """PNGs as JSON carries them."""
    return [base64.b64encode(png).decode("ascii") for png in await encoded(pictures)]


def timing_ms(request: Request) -> Timing:
    """The phases that the request went through so far."""
    phases = request.state.timing
    total = time.perf_counter() - request.state.started
    seconds = {"queue": phases.get("queue", 0.0), "infer": phases.get("infer", 0.0)}
    return Timing(**{k: round(v * 1000, 3) for k, v in {**seconds, "total": total}.items()})


def model_name(served: Served) -> ModelName:
    return ModelName(name=served.manifest.name, version=served.manifest.version)


async def png(picture: Images, served: Served, headers: dict[str, str]) -> Response:
    """One PNG; what JSON would say beside it travels in headers."""
    (body,) = await encoded([picture])
    names = {"Model-Name": served.manifest.name, "Model-Version": str(served.manifest.version)}
    return Response(body, media_type="image/png", headers=names | headers)


def quality_headers(scores: Scores, suffix: str = "") -> dict[str, str]:
    """`Quality-PSNR` and so on, for answers that are binary."""
    return {
        f"Quality-{name.upper()}{suffix}": f"{value:.6g}"
        for name, value in scores.model_dump().items()
        if value is not None
    }


def json_answer(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
