"""Request bodies -> latents: JSON or npy, checked before any model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from pydantic import ValidationError

from service import npy
from service.errors import Malformed, TooLarge, Unprocessable
from service.routes.bodies import malformed_json, media_type_of, read_body
from service.routes.running import aside
from service.routes.schemas import LatentsJson
from service.settings import Settings
from service.visit import visit_of

Floats = NDArray[np.float32]
TAKEN = ("application/json", npy.MEDIA_TYPE)

# Far beyond any model's latents, and far below where float32 arithmetic overflows.
LARGEST = 1e6
_EXAMPLE = '{"latents": [[0.5, -1.2, ...], ...]}, numbers as POST /encode gives them'


async def read_latents(request: Request) -> tuple[str, list[Floats]]:
    """The kind of body, `json` or `npy`, and the latents: one array an image, as they came.

    Raises:
        UnsupportedMedia: a content type that is not taken.
        Malformed: a body that is not what its content type says, or not numbers.
        TooLarge: too many bytes or images.
        Unprocessable: NaN, infinite or huge numbers; the detail names the place.
    """
    visit = visit_of(request.scope)
    settings: Settings = request.app.state.settings
    _, media_type = media_type_of(visit.headers, TAKEN)
    body = await read_body(request, visit, settings.max_body_bytes)
    kind, parse = ("npy", _npy) if media_type == npy.MEDIA_TYPE else ("json", _json)
    return kind, await aside(lambda: _checked(parse(body), settings.max_images), pixels=len(body))


def as_latents(sent: Sequence[Floats], shape: Sequence[int | None]) -> list[Floats] | None:
    """Arrays of `shape`, one an image, where null is any length; None if they are not that.

    One image's latents without a batch axis are taken too.
    """
    if sent and sent[0].ndim + 1 == len(shape) and len({array.shape for array in sent}) == 1:
        sent = [np.stack(sent)]
    fitting = all(
        array.ndim == len(shape)
        and all(
            found > 0 and axis in (None, found)
            for found, axis in zip(array.shape, shape, strict=True)
        )
        for array in sent
    )
    return list(sent) if fitting else None


def _npy(body: bytes) -> list[NDArray[Any]]:
    array = npy.read(body)
    if not array.ndim:
        raise Unprocessable("an npy array of no axes holds no latents: send [B,...]")
    return list(array)


def _json(body: bytes) -> list[NDArray[Any]]:
    try:
        rows = LatentsJson.model_validate_json(body).latents
    except ValidationError as error:
        raise malformed_json(error, _EXAMPLE) from None
    arrays = []
    for i, row in enumerate(rows):
        try:
            array = np.asarray(row)
        except (ValueError, OverflowError):  # rows of several lengths
            raise Malformed(f"JSON: latents[{i}] is no array; send {_EXAMPLE}") from None
        arrays.append(array)
        if array.dtype.kind not in "iuf" and array.size:
            raise Malformed(f"JSON: latents[{i}] holds what is no number; send {_EXAMPLE}")
    return arrays


def _checked(arrays: list[NDArray[Any]], max_images: int) -> list[Floats]:
    if not arrays:
        raise Malformed(f"there are no latents in the request: send {_EXAMPLE}")
    if len(arrays) > max_images and arrays[0].ndim:
        raise TooLarge(f"latents of {len(arrays)} images; up to {max_images} are taken at once")
    for i, array in enumerate(arrays):
        if not (np.abs(array.astype(np.float64)) <= LARGEST).all():  # NaN fails it too
            raise Unprocessable(
                f"latents[{i}] holds NaN or numbers beyond {LARGEST:g}, which no model gives",
                extra={"index": i},
            )
    return [np.asarray(array, np.float32, order="C") for array in arrays]
