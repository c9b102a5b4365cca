"""multipart/form-data bodies, in memory: nothing is written to disk while serving."""

from __future__ import annotations

from typing import NamedTuple

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    NEED_DATA,
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
)

from service.errors import Malformed, TooLarge


class Part(NamedTuple):
    """One part of a form: its field, whether it was sent as a file, and its content."""

    field: str
    is_file: bool
    content: bytes


def parse(body: bytes, content_type: str, *, max_parts: int) -> list[Part]:
    """The parts of a form, in their order.

    Raises:
        Malformed: no boundary, or the body does not keep to it.
        TooLarge: more than `max_parts` parts.
    """
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise Malformed("multipart/form-data without a boundary: let your client set the header")
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), max_parts=max_parts)
    decoder.receive_data(body)
    decoder.receive_data(None)
    parts: list[Part] = []
    chunks: list[bytes] = []
    try:
        while not isinstance(event := decoder.next_event(), Epilogue):
            if isinstance(event, Field | File):
                if event.name is None:  # werkzeug's types say that it cannot be
                    raise ValueError("a part has no name")
                part, chunks = event, []
            elif isinstance(event, Data):
                chunks.append(event.data)
                if not event.more_data:
                    parts.append(Part(part.name, isinstance(part, File), b"".join(chunks)))
            elif event is NEED_DATA:
                raise ValueError("it ends before its closing boundary")
    except RequestEntityTooLarge:
        raise TooLarge(f"the form has more than {max_parts} parts") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"the multipart body cannot be read: {error}") from None
    return parts
