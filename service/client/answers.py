"""Answers, JSON or npy, -> typed results; those of one call's several requests as one."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from service import images as codec
from service import npy
from service.client import results
from service.client.errors import Faulty
from service.client.results import (
    DenoiseQuality,
    Floats,
    Image,
    ModelName,
    ReconstructQuality,
    Scored,
    Timing,
)

T = TypeVar("T")

_PHASE = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True)
class Sent:
    """One answered request."""

    response: httpx.Response

    @cached_property
    def array(self) -> NDArray[Any] | None:
        """The array of an npy answer, else None."""
        if self.response.headers.get("Content-Type") != npy.MEDIA_TYPE:
            return None
        return npy.read(self.response.content).copy()  # the caller may write on it

    @property
    def picture(self) -> bytes | None:
        """The file of an answer that is a picture, else None."""
        is_one = self.response.headers.get("Content-Type", "").startswith("image/")
        return self.response.content if is_one else None

    @cached_property
    def json(self) -> dict[str, Any]:
        """The members of a JSON answer; none of any other."""
        return json_of(self.response) if self.array is None and self.picture is None else {}

    @property
    def model(self) -> ModelName:
        return ModelName(self.said("Model-Name"), int(self.said("Model-Version")))

    def said(self, header: str) -> str:
        """A header that the service puts on every answer of this kind, JSON or not."""
        if header not in self.response.headers:
            raise _foreign(self.response)
        return self.response.headers[header]

    @property
    def phases(self) -> dict[str, float]:
        """Milliseconds, as the header that every answer has says them."""
        timing = self.response.headers.get("Server-Timing", "")
        return {phase: float(ms) for phase, ms in _PHASE.findall(timing)}


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer.

    Raises:
        Faulty: it holds none, so that whoever answered was not this service.
    """
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _foreign(response)
    return document


def read(kind: type[T], value: Any, response: httpx.Response) -> T:  # noqa: ANN401  # JSON
    """A dataclass of what JSON held; members that a newer service adds are passed over.

    Raises:
        Faulty: it does not fit, so that whoever answered was not this service.
    """
    try:
        return TypeAdapter(kind).validate_python(value, extra="ignore")
    except ValidationError as error:
        raise _foreign(response) from error


def _foreign(response: httpx.Response) -> Faulty:
    kind = response.headers.get("Content-Type", "no content type")
    return Faulty(
        f"{response.url} answered {kind}, but not what this service answers: is the address right?",
        status=response.status_code,
        title="Not this service",
    )


def common(sent: Sequence[Sent]) -> dict[str, Any]:
    """The model, the sum of the times, and the id under which the server's log has the call."""
    phases = ("queue", "infer", "total")
    return {
        "model": sent[0].model,
        "timing_ms": Timing(**{p: sum(s.phases.get(p, 0.0) for s in sent) for p in phases}),
        "request_id": sent[0].response.headers.get("X-Request-ID", ""),
    }


def images(sent: Sequence[Sent], member: str = "images") -> list[Image]:
    """Every image of the answers, in order."""
    made: list[Image] = []
    for each in sent:
        if each.array is not None:
            made += list(each.array)
        else:
            made += [codec.decode(file) for file in _files(each, member)]
    return made


def files(sent: Sequence[Sent]) -> list[bytes] | None:
    """Every image of the answers as the file that it came in; None where they came as arrays."""
    if any(each.array is not None for each in sent):
        return None
    return [file for each in sent for file in _files(each, "images")]


def _files(sent: Sent, member: str) -> list[bytes]:
    if sent.picture is not None:
        return [sent.picture]
    return [base64.b64decode(png) for png in sent.json.get(member) or ()]


def floats(sent: Sequence[Sent], member: str) -> list[Floats]:
    """Every row of numbers of the answers, in order."""
    rows: list[Floats] = []
    for each in sent:
        values = each.json.get(member) or () if each.array is None else each.array
        rows += [np.asarray(row, np.float32) for row in values]
    return rows


def probabilities(sent: Sequence[Sent]) -> tuple[tuple[str, ...], Floats]:
    """The classes, and float32 `[B,K]`."""
    classes = tuple(sent[0].json["classes"])
    rows = [row["probabilities"] for each in sent for row in each.json["predictions"]]
    return classes, np.array([[row[name] for name in classes] for row in rows], np.float32)


def denoise_quality(sent: Sequence[Sent]) -> DenoiseQuality | None:
    """Of all images together; None where the answers have none."""
    parts = [_quality(DenoiseQuality, each) for each in sent]
    before = [s for part in parts if part for s in part.before.per_image]
    after = [s for part in parts if part for s in part.after.per_image]
    if not after:
        return None
    first, then = results.mean(before), results.mean(after)
    return DenoiseQuality(
        Scored(first, tuple(before)), Scored(then, tuple(after)), then.psnr - first.psnr
    )


def of_noise(sent: Sequence[Sent], header: str) -> tuple[float | None, ...]:
    """Each image's `Noise-Std` or `Noise-Anomaly-Percentile`; None where an answer has none."""
    member = header.lower().replace("-", "_")
    found: list[float | None] = []
    for each in sent:
        if each.json:
            found += each.json.get(member) or [None] * len(each.json.get("images") or ())
            continue
        count = 1 if each.array is None else len(each.array)
        said = each.response.headers.get(header) if count == 1 else None
        found += [float(said) if said else None] * count
    return tuple(found)


def reconstruct_quality(sent: Sequence[Sent]) -> ReconstructQuality | None:
    """Of all images together; None where the answers have none."""
    parts = [part for each in sent if (part := _quality(ReconstructQuality, each))]
    scores = tuple(s for part in parts for s in part.per_image)
    if not scores:
        return None
    percentiles = tuple(p for part in parts for p in part.anomaly_percentile)
    return ReconstructQuality(results.mean(scores), scores, percentiles)


def _quality(kind: type[T], sent: Sent) -> T | None:
    quality = sent.json.get("quality")
    return None if quality is None else read(kind, quality, sent.response)
