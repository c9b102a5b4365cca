"""ETags: who has the newest of a file is not sent it again."""

from __future__ import annotations

from fastapi import Request
from werkzeug.http import parse_etags


def unchanged(request: Request, etag: str) -> bool:
    """Whether If-None-Match names the quoted `etag`: the answer is 304 then."""
    sent = request.headers.get("if-none-match")
    return sent is not None and parse_etags(sent).contains_weak(etag.strip('"'))
