"""Settings: environment variables `AUTOENCODER_*`, or flags of `autoencoder serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service import cores

Device = Literal["cpu", "cuda"]

_PACKAGE = Path(__file__).resolve().parent


def _shipped_models() -> Path:
    """The models inside an installed package, else those of the checkout."""
    inside = _PACKAGE / "models"
    return inside if inside.is_dir() else _PACKAGE.parent / "models"


class Settings(BaseSettings):
    """How the service runs; every field has a safe default."""

    model_config = SettingsConfigDict(env_prefix="AUTOENCODER_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=256, description="processes that share the port")
    models_dir: Path = Field(
        default_factory=_shipped_models, description="folder of NAME/VERSION/model.json"
    )
    device: Device = Field("cpu", description="cpu or cuda; cuda that is not there is an error")
    tf32: bool = Field(
        False, description="on CUDA: round to TF32, which is faster and moves answers a little"
    )
    device_batches: Annotated[str, Field(pattern=r"^[1-9]\d{0,3}(,[1-9]\d{0,3})*$")] = Field(
        "1,8,32,128,256",
        description="on CUDA: the batch sizes that are captured before ready; others are padded "
        "up to the next",
    )
    threads: int = Field(
        default_factory=lambda: min(8, cores.usable()),
        ge=1,
        le=256,
        description="runs at a time in one process; a model has one run at a time",
    )
    max_batch: int = Field(
        256, ge=1, description="images in one run; larger requests are split, not refused"
    )
    max_waiting: int = Field(
        16_384, ge=1, description="images that may wait for one model before 503"
    )
    max_waiting_bytes: int = Field(
        256 * 2**20, ge=1024, description="bytes of images that may wait for one model before 503"
    )
    max_images: int = Field(4096, ge=1, description="images in one request")
    max_body_bytes: int = Field(96 * 2**20, ge=1024, description="bytes in one request body")
    max_pixels: int = Field(
        32_000_000, ge=1, description="pixels in one request, checked before decoding"
    )
    max_whole_pixels: int = Field(
        8_000_000,
        ge=1,
        description="pixels in one request that are not cut into tiles: encoded, decoded, sampled "
        "or resized",
    )
    tile_pixels: int = Field(
        2**20,
        ge=2**14,
        description="pixels of a large image that run at a time, in one process: its memory",
    )
    keys_file: Path | None = Field(
        None, description="TOML file of API keys; without it, whoever reaches the port may call"
    )
    cors_origins: str = Field(
        "", description="origins of web pages that may call, with commas between them, or *"
    )
    max_requests: int = Field(512, ge=1, description="requests under way in one process before 503")
    max_bytes_in_flight: int = Field(
        512 * 2**20,
        ge=1024,
        description="bytes of bodies and pixels that all requests of one process may hold "
        "before 503",
    )
    max_connections: int = Field(
        2000, ge=1, description="open connections of one process, idle ones too, before 503"
    )
    max_headers: int = Field(100, ge=10, description="headers of one request before 431")
    max_head_bytes: int = Field(
        32_768, ge=1024, le=65_536, description="bytes of one request's URL and headers before 431"
    )
    head_timeout: Annotated[float, Field(gt=0)] = Field(
        10.0, description="seconds a request's URL and headers may take to come before 408"
    )
    body_timeout: Annotated[float, Field(gt=0)] = Field(
        120.0, description="seconds a request's body may take to come before 408"
    )
    min_body_rate: int = Field(
        1024, ge=0, description="bytes a second at which a body must come, else 408"
    )
    linger_microseconds: int = Field(
        100,
        ge=0,
        le=10_000,
        description="how long a process stays awake for the next request after an answer, with "
        "nothing else to do; 0: not at all",
    )
    write_timeout: Annotated[float, Field(gt=0)] = Field(
        30.0, description="seconds a caller may leave an answer unread before it is given up"
    )
    request_timeout: Annotated[float, Field(gt=0)] = Field(
        30.0,
        description="seconds a request may wait for its answer before 504; a caller may ask for "
        "less by X-Request-Timeout",
    )
    megapixel_timeout: Annotated[float, Field(ge=0)] = Field(
        10.0, description="seconds more for each megapixel of large images"
    )
    ready_timeout: Annotated[float, Field(gt=0)] = Field(
        1.5, description="seconds that a model's canary may take before it is late"
    )
    reload_seconds: Annotated[float, Field(ge=0)] = Field(
        2.0, description="seconds between two looks at the models folder; 0: only at the start"
    )
    max_quality_loss: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="dB of PSNR that a version may lose against an earlier one of its model and "
        "still be served",
    )
    worker_timeout: Annotated[float, Field(ge=1)] = Field(
        2.0,
        description="seconds that one of several workers may give no sign of life and compute "
        "nothing before it is replaced; ten times as long if it computes",
    )
    lame_duck: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="seconds to serve on after SIGTERM, already not ready, so that a load "
        "balancer looks away first",
    )
    otlp_endpoint: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = Field(
        "",
        description="OpenTelemetry collector that traces are sent to by OTLP over HTTP, as in "
        "http://collector:4318; needs the extra otel",
    )
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )

    @property
    def whole_pixels(self) -> int:
        """The pixels that one request may bring where nothing is cut into tiles."""
        return min(self.max_pixels, self.max_whole_pixels)
