"""What a model made -> an answer of the kind that was asked for."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from fastapi import Request, Response
from pydantic import BaseModel
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service import images, npy
from service.cycles import Header, Parts, lines_of
from service.errors import NotAcceptable
from service.images import Images
from service.routes.keeping import Keeps, flat
from service.routes.progressing import MIXED, accepted
from service.routes.running import INLINE_PIXELS, aside
from service.routes.schemas import ModelName, Timing
from service.rows import Rows, size
from service.served import Served
from service.visit import visit_of

JSON, PNG, GIF, NPY = "application/json", "image/png", "image/gif", npy.MEDIA_TYPE
ONE_IMAGE = (PNG, "image/webp", "image/jpeg")

# What a request gets that does not say, by the kind of its own body; JSON for all others.
_LIKE_THE_REQUEST = {"image": PNG, "npy": NPY}
_FRAME_MILLISECONDS = 100

# Bytes are copied at least so much faster than pixels are encoded.
COPYING = 32


def negotiate(
    request: Request,
    kinds: Sequence[str],
    *,
    sent: str = "",
    lacking: Mapping[str, str] = {},
) -> str:
    """The media type to answer in: what Accept likes best, else as the request was `sent`.

    `lacking` has the kinds that the route has but cannot give this time, and why.

    Raises:
        NotAcceptable: Accept allows none of `kinds`.
    """
    return _negotiated(accepted(request), kinds, sent=sent, lacking=lacking)


def _negotiated(
    given: bytes,
    kinds: Sequence[str],
    *,
    sent: str,
    lacking: Mapping[str, str],
    told: bool = False,
) -> str:
    """As `negotiate`.

    With `told`, the route can tell its progress, and multipart/mixed says nothing of the last
    part's kind.
    """
    first = _LIKE_THE_REQUEST.get(sent, "")
    accept = given.decode("latin-1").strip() or "*/*"
    if told and MIXED in accept.lower():
        others = [each for each in accept.split(",") if MIXED not in each.lower()]
        accept = ",".join(others).strip() or "*/*"
    if accept == "*/*":
        return first if first in kinds else kinds[0]
    offered = sorted(kinds, key=lambda kind: kind != first)
    liked = _liked(accept)
    best = max(offered, key=liked.quality)
    if liked.quality(best) > 0:
        return best
    reasons = [why for kind, why in lacking.items() if liked.quality(kind) > 0]
    raise NotAcceptable(
        f"Accept: {accept[:64]} leaves nothing: this request can be answered with "
        f"{' or '.join(offered)}{'; ' if reasons else ''}{'; '.join(reasons)}",
        extra={"available": offered},
    )


@lru_cache(256)
def _liked(accept: str) -> MIMEAccept:
    # Parameters (charset, q) aside: JSON is UTF-8 whatever the charset that is asked for.
    return MIMEAccept(
        [(item.partition(";")[0], q) for item, q in parse_accept_header(accept, MIMEAccept)]
    )


def kind_of_images(accept: bytes, taken: Rows, sent: str) -> str:
    """What to answer in to a request for as many images as were `sent` with it.

    Raises:
        NotAcceptable: as `negotiate`.
    """
    return _kind_of_images(accept, len(taken), isinstance(taken, list), sent)


@lru_cache(256)
def _kind_of_images(accept: bytes, count: int, several_sizes: bool, sent: str) -> str:
    kinds, lacking = image_kinds(count, one_size=not several_sizes)
    return _negotiated(accept, kinds, sent=sent, lacking=lacking, told=True)


@lru_cache(256)
def image_kinds(
    count: int, *, one_size: bool = True, sheet: bool = False
) -> tuple[Sequence[str], Mapping[str, str]]:
    """The kinds that hold so many images, JSON first, and why others do not.

    With `sheet`, a PNG holds several images of one size, laid out on it.
    """
    kinds, lacking = [JSON], dict[str, str]()
    if count == 1:
        kinds += ONE_IMAGE
    elif sheet and one_size:
        kinds.append(PNG)
    else:
        why = f"one picture cannot hold {count} images: send one, or take {JSON}"
        lacking |= dict.fromkeys(ONE_IMAGE, why)
    if one_size:
        kinds.append(NPY)
    else:
        lacking[NPY] = "images of several sizes are no one array: fit=resize makes them of one size"
    return kinds, lacking


async def pictures(
    kind: str,
    made: Rows,
    served: Served,
    headers: Mapping[str, str] | None = None,
    *,
    columns: int | None = None,
    kept: Keeps = None,
) -> Response:
    """All images as npy or GIF, or as one picture: the image itself, or a sheet of several.

    `kept` has what goes with each into a file; an array has no place for it.
    """
    assert not isinstance(made, list)  # of several sizes, as `image_kinds` does not offer
    pixels = made.size // (COPYING if kind == NPY else 1)
    if pixels <= INLINE_PIXELS:
        parts = _file(kind, made, columns, kept)
    else:
        parts = await aside(_file, kind, made, columns, kept, pixels=pixels)
    return Whole(parts, kind, served, headers)


def _file(kind: str, batch: Images, columns: int | None, kept: Keeps) -> Parts:
    if kind == NPY:
        return npy.parts(np.asarray(flat(batch, kept)))
    if kind == GIF:
        return (images.encode_gif(batch, milliseconds=_FRAME_MILLISECONDS),)
    sheet = batch[0] if len(batch) == 1 else images.grid(batch, columns=columns)
    longest = images.LONGEST_SIDE[kind]
    if max(sheet.shape) > longest:
        raise NotAcceptable(f"{kind} has room for {longest} pixels a side: take {PNG}")
    return (images.encode(sheet, kind, kept[0] if kept and len(batch) == 1 else None),)


def array(made: Rows, served: Served) -> Response:
    """Rows of one shape as npy."""
    return Whole(npy.parts(np.asarray(made)), NPY, served)


def binary(
    kind: str, body: bytes, served: Served, headers: Mapping[str, str] | None = None
) -> Response:
    """A binary answer; what JSON would say beside it travels in headers."""
    return Whole((body,), kind, served, headers)


class Whole(Response):
    """A good answer, all of it, with its headers as the lines that go over the wire.

    To look a dozen headers through and write them line by line takes longer than a small run.
    """

    status_code, background = 200, None

    def __init__(
        self,
        parts: Parts,
        kind: str,
        served: Served,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """`parts` are what the body is, one after the other."""
        self.parts = parts
        self.lines = b"content-length: %d\r\n%b" % (
            sum(map(len, parts)),
            _lines(kind, served.names),
        )
        if more:
            headers = [
                (name.lower().encode(), value.encode("latin-1")) for name, value in more.items()
            ]
            self.lines += lines_of(headers)

    @cached_property
    def body(self) -> bytes:  # type: ignore[override]
        """The same as one, for whoever is between us and the connection."""
        return b"".join(self.parts)

    @cached_property
    def raw_headers(self) -> list[Header]:  # type: ignore[override]
        """The same as ASGI has them, for whoever is between us and the connection."""
        lines = self.lines.split(b"\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]


@lru_cache(256)
def _lines(kind: str, names: tuple[Header, ...]) -> bytes:
    return lines_of([(b"content-type", kind.encode()), *names])


async def base64_png(made: Rows, kept: Keeps = None) -> list[str]:
    """PNGs as JSON carries them, with what is `kept` of each one's file."""

    def write() -> list[str]:
        beside = kept or [None] * len(made)
        files = (images.encode(image, PNG, k) for image, k in zip(made, beside, strict=True))
        return [base64.b64encode(file).decode("ascii") for file in files]

    return await aside(write, pixels=size(made))


async def json_answer(answer: BaseModel, served: Served, *, count: int = 0) -> Response:
    """A JSON answer; `count` says how many images or numbers it lists: many take long to write."""
    # As `model_dump_json`, which makes text of these bytes: of pictures that is twice the memory.
    to_json = answer.__pydantic_serializer__.to_json
    body = await aside(lambda: to_json(answer), pixels=count)
    return binary(JSON, body, served)


async def lists(arrays: Rows) -> list[list[object]]:
    """Arrays as nested lists; a float32 stands in JSON with all its digits, and comes back."""
    return await aside(lambda: [array.tolist() for array in arrays], pixels=size(arrays))


def timing_ms(request: Request) -> Timing:
    """The phases that the request went through so far."""
    visit = visit_of(request.scope)
    phases, total = visit.timing, time.perf_counter() - visit.started
    seconds = {"queue": phases.get("queue", 0.0), "infer": phases.get("infer", 0.0)}
    return Timing(**{k: round(v * 1000, 3) for k, v in {**seconds, "total": total}.items()})


def model_name(served: Served) -> ModelName:
    return ModelName(name=served.manifest.name, version=served.manifest.version)
