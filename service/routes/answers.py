"""What a model made -> an answer of the kind that was asked for."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence

import numpy as np
from fastapi import Request, Response
from pydantic import BaseModel
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service import images, npy
from service.errors import NotAcceptable
from service.images import Images
from service.routes.running import Array, aside
from service.routes.schemas import ModelName, Timing
from service.served import Served

JSON, PNG, GIF, NPY = "application/json", "image/png", "image/gif", npy.MEDIA_TYPE
ONE_IMAGE = (PNG, "image/webp", "image/jpeg")

# What a request gets that does not say, by the kind of its own body; JSON for all others.
_LIKE_THE_REQUEST = {"image": PNG, "npy": NPY}
_FRAME_MILLISECONDS = 100


def negotiate(
    request: Request, kinds: Sequence[str], *, sent: str = "", lacking: Mapping[str, str] = {}
) -> str:
    """The media type to answer in: what Accept likes best, else as the request was `sent`.

    `lacking` has the kinds that the route has but cannot give this time, and why.

    Raises:
        NotAcceptable: Accept allows none of `kinds`.
    """
    first = _LIKE_THE_REQUEST.get(sent)
    offered = sorted(kinds, key=lambda kind: kind != first)
    accept = request.headers.get("accept", "").strip() or "*/*"
    if accept == "*/*":
        return offered[0]
    # Parameters (charset, q) aside: JSON is UTF-8 whatever the charset that is asked for.
    accepted = MIMEAccept(
        [(item.partition(";")[0], q) for item, q in parse_accept_header(accept, MIMEAccept)]
    )
    best = max(offered, key=accepted.quality)
    if accepted.quality(best) > 0:
        return best
    reasons = [why for kind, why in lacking.items() if accepted.quality(kind) > 0]
    raise NotAcceptable(
        f"Accept: {accept[:64]} leaves nothing: this request can be answered with "
        f"{' or '.join(offered)}{'; ' if reasons else ''}{'; '.join(reasons)}",
        extra={"available": offered},
    )


def image_kinds(
    shapes: Sequence[tuple[int, ...]], *, sheet: bool = False
) -> tuple[list[str], dict[str, str]]:
    """The kinds that hold images of these shapes, JSON first, and why others do not.

    With `sheet`, a PNG holds several images of one size, laid out on it.
    """
    kinds, lacking = [JSON], dict[str, str]()
    one, one_size = len(shapes) == 1, len(set(shapes)) == 1
    if one:
        kinds += ONE_IMAGE
    elif sheet and one_size:
        kinds.append(PNG)
    else:
        why = f"one picture cannot hold {len(shapes)} images: send one, or take {JSON}"
        lacking |= dict.fromkeys(ONE_IMAGE, why)
    if one_size:
        kinds.append(NPY)
    else:
        lacking[NPY] = "images of several sizes are no one array: fit=resize makes them of one size"
    return kinds, lacking


async def pictures(
    kind: str,
    made: Sequence[Images],
    served: Served,
    headers: Mapping[str, str] | None = None,
    *,
    columns: int | None = None,
) -> Response:
    """All images as npy or GIF, or as one picture: the image itself, or a sheet of several."""

    def write() -> bytes:
        if kind == NPY:
            return npy.write(np.stack(made))
        if kind == GIF:
            return images.encode_gif(np.stack(made), milliseconds=_FRAME_MILLISECONDS)
        sheet = made[0] if len(made) == 1 else images.grid(np.stack(made), columns=columns)
        longest = images.LONGEST_SIDE[kind]
        if max(sheet.shape) > longest:
            raise NotAcceptable(f"{kind} has room for {longest} pixels a side: take {PNG}")
        return images.encode(sheet, kind)

    body = await aside(write, pixels=sum(picture.size for picture in made))
    return binary(kind, body, served, headers)


def binary(
    kind: str, body: bytes, served: Served, headers: Mapping[str, str] | None = None
) -> Response:
    """A binary answer; what JSON would say beside it travels in headers."""
    return Response(body, media_type=kind, headers={**_names(served), **(headers or {})})


async def base64_png(made: Sequence[Images]) -> list[str]:
    """PNGs as JSON carries them."""

    def write() -> list[str]:
        return [base64.b64encode(images.encode_png(picture)).decode("ascii") for picture in made]

    return await aside(write, pixels=sum(picture.size for picture in made))


async def json_answer(answer: BaseModel, served: Served, *, size: int = 0) -> Response:
    """A JSON answer; `size` says how many images or numbers it lists: many take long to write."""
    body = await aside(answer.model_dump_json, pixels=size)
    return Response(body, media_type=JSON, headers=_names(served))


async def lists(arrays: Sequence[Array]) -> list[list[object]]:
    """Arrays as nested lists; a float32 stands in JSON with all its digits, and comes back."""
    return await aside(
        lambda: [array.tolist() for array in arrays], pixels=sum(array.size for array in arrays)
    )


def timing_ms(request: Request) -> Timing:
    """The phases that the request went through so far."""
    phases = request.state.timing
    total = time.perf_counter() - request.state.started
    seconds = {"queue": phases.get("queue", 0.0), "infer": phases.get("infer", 0.0)}
    return Timing(**{k: round(v * 1000, 3) for k, v in {**seconds, "total": total}.items()})


def model_name(served: Served) -> ModelName:
    return ModelName(name=served.manifest.name, version=served.manifest.version)


def _names(served: Served) -> dict[str, str]:
    return {"Model-Name": served.manifest.name, "Model-Version": str(served.manifest.version)}
