"""Request bodies -> uint8 images: one encoded image, a multipart form, JSON, or npy."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from service import images, npy
from service.errors import Malformed, RequestError, TooLarge, UnsupportedMedia
from service.images import MEDIA_TYPES, Images, Opened
from service.kept import Kept
from service.routes import multipart
from service.routes.running import INLINE_PIXELS, aside
from service.routes.schemas import ScoredImagesJson
from service.rows import Rows, together
from service.settings import Settings
from service.visit import Visit, visit_of

Kind = Literal["image", "multipart", "json", "npy"]

SEVERAL = ("multipart/form-data", "application/json", npy.MEDIA_TYPE)
ANY = (*MEDIA_TYPES, *SEVERAL)

# Bytes are copied at least so much faster than pixels are decoded.
_COPYING = 32

_DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,")


@dataclass(slots=True)
class Upload:
    """What a caller sent: images, perhaps as many clean references, and the kind of body.

    `kept` has what the files of images and references hold beside, in that order, where any does.
    """

    kind: Kind
    images: Rows
    references: Rows | None = None
    kept: Sequence[Kept | None] | None = None


# Names that were never registered, and that everybody sends.
_ALIASES = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp", "image/x-png": "image/png"}


async def read_upload(
    request: Request,
    *,
    taken: Collection[str] = ANY,
    references: bool = False,
    straight: bool = False,
) -> Upload:
    """The images of a request, decoded; `references` says whether the route scores against some.

    `straight` leaves the pixels as they are where they are transparent, and alpha in `kept`; else
    it is laid on white.

    Raises:
        UnsupportedMedia: a content type that is not taken.
        Malformed: a body that is not what its content type says.
        TooLarge: too many bytes, images or pixels.
        Unprocessable: an image that is none; in a batch the detail names its place.
    """
    scope = request.scope
    visit, settings = visit_of(scope), scope["app"].state.settings
    content_type, media_type = media_type_of(visit.headers, taken)
    body = await read_body(request, visit, settings.max_body_bytes)
    if media_type in MEDIA_TYPES:
        if len(body) <= INLINE_PIXELS:
            image = _opened(body, settings.max_pixels, media_type)
        else:
            image = await aside(_opened, body, settings.max_pixels, media_type, pixels=len(body))
        count = image.width * image.height
        visit.hold(3 * count)
        if count <= INLINE_PIXELS:
            array, beside = _pixels(image, straight)
        else:
            array, beside = await aside(_pixels, image, straight, pixels=count)
        return Upload("image", array[None], kept=[beside] if beside else None)
    if media_type == npy.MEDIA_TYPE:
        return Upload("npy", await _array(body, settings))
    kind: Kind
    if media_type == "application/json":
        kind, (sent, clean) = "json", await aside(lambda: _json(body), pixels=len(body))
    else:
        kind, (sent, clean) = (
            "multipart",
            await aside(lambda: _form(body, content_type, settings), pixels=len(body)),
        )
    if not sent:
        raise Malformed("there is no image in the request: send at least one as `images`")
    if len(sent) > settings.max_images:
        raise TooLarge(f"{len(sent)} images in one request; up to {settings.max_images} are taken")
    if clean and not references:
        raise Malformed("references are scored against by POST /denoise only: send none here")
    if clean and len(clean) != len(sent):
        raise Malformed(
            f"{len(clean)} references for {len(sent)} images: send as many, in their order"
        )
    decoded, kept = await _decode(request, [*sent, *clean], straight, images_sent=len(sent))
    return Upload(
        kind,
        together(decoded[: len(sent)]),
        together(decoded[len(sent) :]) if clean else None,
        kept,
    )


def media_type_of(headers: Mapping[bytes, bytes], taken: Collection[str]) -> tuple[str, str]:
    """The content type of a request's body as it was sent, and its media type.

    Raises:
        UnsupportedMedia: it is not one of `taken`; the detail lists them.
    """
    content_type, media_type = _read(headers.get(b"content-type", b""))
    if media_type not in taken:
        accepted = ", ".join(taken)
        raise UnsupportedMedia(
            f"Content-Type {media_type[:64]!r} is not taken here: send {accepted}",
            headers={"Accept-Post": accepted},
        )
    return content_type, media_type


@lru_cache(256)
def _read(sent: bytes) -> tuple[str, str]:
    content_type = sent.decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    return content_type, _ALIASES.get(media_type, media_type)


async def read_body(request: Request, visit: Visit, limit: int) -> bytes:
    """The whole body, refused as soon as it is known to exceed `limit` bytes.

    Raises:
        TooLarge: it does.
        UnsupportedMedia: it is compressed.
    """
    encoding = visit.headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise UnsupportedMedia("Content-Encoding is not taken here: send the body as it is")
    body, visit.body = visit.body, None
    if body is None:
        declared = visit.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise _too_many_bytes(limit)
        body = await _received(request, limit)
    elif len(body) > limit:
        raise _too_many_bytes(limit)
    return body


async def _received(request: Request, limit: int) -> bytes:
    chunks, size, more = list[bytes](), 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_many_bytes(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_many_bytes(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit} bytes that are taken in one request")


def _form(body: bytes, content_type: str, settings: Settings) -> tuple[list[bytes], list[bytes]]:
    fields: dict[str, list[bytes]] = {"images": [], "references": []}
    for part in multipart.parse(body, content_type, max_parts=2 * settings.max_images):
        if part.field not in fields:
            raise Malformed(
                f"unknown form field {part.field[:64]!r}: send files as images, references"
            )
        if not part.is_file:
            raise Malformed(
                f"form field {part.field!r} must be a file (curl: -F {part.field}=@picture.png)"
            )
        fields[part.field].append(part.content)
    return fields["images"], fields["references"]


def _json(body: bytes) -> tuple[list[bytes], list[bytes]]:
    try:
        parsed = ScoredImagesJson.model_validate_json(body)
    except ValidationError as error:
        raise malformed_json(error, '{"images": [base64 or data URI, ...]}') from None
    return (
        [decode_base64(text, f"images[{i}]") for i, text in enumerate(parsed.images)],
        [decode_base64(text, f"references[{i}]") for i, text in enumerate(parsed.references or ())],
    )


def malformed_json(error: ValidationError, example: str) -> Malformed:
    """What is wrong with a JSON body, where, and what would have been right."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:64] or "the body"
    return Malformed(f"JSON: {where}: {first['msg']}; send {example}")


def decode_base64(text: str, where: str) -> bytes:
    """The bytes of base64 or of a base64 data URI.

    Raises:
        Malformed: it is neither; `where` says which it was.
    """
    if any(space in text for space in " \n\r\t"):  # `base64 FILE` breaks its lines
        text = "".join(text.split())
    prefix = _DATA_URI.match(text)
    try:
        return base64.b64decode(text[prefix.end() :] if prefix else text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{where} is neither base64 nor a base64 data URI") from None


async def _array(body: bytes, settings: Settings) -> Images:
    def read() -> Images:
        limits = {"max_images": settings.max_images, "max_pixels": settings.max_pixels}
        return npy.images(npy.read(body), **limits)

    return await aside(read, pixels=len(body) // _COPYING)


async def decode(
    request: Request, encoded: Sequence[bytes], *, images_sent: int = 1
) -> list[Images]:
    """The pixels of encoded images, alpha laid on white. Raises as `read_upload` does."""
    return (await _decode(request, encoded, straight=False, images_sent=images_sent))[0]


async def _decode(
    request: Request,
    encoded: Sequence[bytes],
    straight: bool,
    *,
    images_sent: int = 1,
) -> tuple[list[Images], list[Kept | None] | None]:
    """The pixels of encoded images, of which those after the first `images_sent` are references.

    Also what their files hold beside, where `straight` and any does.

    Raises:
        TooLarge: more pixels than are taken in one request; none was decoded then.
        Overloaded: more pixels than all requests together may hold; none was decoded then.
        Unprocessable: an image that is none; where there are several, the detail names its place.
    """

    def headers() -> list[Opened]:
        opened = []
        left = request.app.state.settings.max_pixels
        for i, data in enumerate(encoded):
            try:
                image = images.open_image(data, max_pixels=left)
            except RequestError as error:
                raise _placed(error, i, len(encoded), images_sent) from error.__cause__
            left -= image.width * image.height
            opened.append(image)
        return opened

    def pixels() -> tuple[list[Images], list[Kept | None] | None]:
        decoded, beside = list[Images](), list[Kept | None]()
        for i, image in enumerate(opened):
            try:
                array, kept = _pixels(image, straight)
            except RequestError as error:
                raise _placed(error, i, len(opened), images_sent) from error.__cause__
            decoded.append(array)
            beside.append(kept)
        return decoded, beside if any(beside) else None

    opened = await aside(headers, pixels=sum(map(len, encoded)))
    count = sum(image.width * image.height for image in opened)
    visit_of(request.scope).hold(3 * count)
    return await aside(pixels, pixels=count)


def _opened(body: bytes, max_pixels: int, declared: str) -> Opened:
    image = images.open_image(body, max_pixels=max_pixels)
    found = images.media_type(image)
    if found != declared:
        raise UnsupportedMedia(
            f"Content-Type says {declared}, but the body is {found}: send it as {found}"
        )
    return image


def _pixels(image: Opened, straight: bool) -> tuple[Images, Kept | None]:
    return images.straight(image) if straight else (images.pixels(image), None)


def _placed(error: RequestError, place: int, count: int, images_sent: int) -> RequestError:
    """The error with the image's place in front, when there are several."""
    if count > 1:
        which, i = ("image", place) if place < images_sent else ("reference", place - images_sent)
        error.detail = f"{which} {i}: {error.detail}"
        error.extra |= {"index": i, "field": f"{which}s"}
    return error
