"""GET / and /page/...: the playground, static files that need nothing from anywhere else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from service.errors import NotFound
from service.routes.caching import unchanged

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).resolve().parents[1] / "page"

# Spelled out, for a machine's own table may call a script text/plain, which browsers refuse to run.
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# Nothing is loaded from, sent to or framed by anybody but this service; pictures that the page
# makes itself are blobs and data.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class File:
    """A file of the page, as it is sent."""

    content: bytes
    headers: dict[str, str]


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The playground."""
    return _answer(request, "index.html")


@router.api_route("/page/{path:path}", methods=["GET", "HEAD"])
async def part(request: Request, path: str) -> Response:
    """A script, style or picture of the playground."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    file = _files().get(path)
    if file is None:
        raise NotFound(f"the page has no file {path[:64]!r}: it begins at /")
    if unchanged(request, file.headers["ETag"]):
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, headers=file.headers)


@cache
def _files() -> dict[str, File]:
    """All files by their path: 200 kB that are read once, and no path of a caller's to check."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _MEDIA_TYPES:
            content = path.read_bytes()
            found[path.relative_to(FOLDER).as_posix()] = File(content, _headers(path, content))
    return found


def _headers(path: Path, content: bytes) -> dict[str, str]:
    return {
        "Content-Type": _MEDIA_TYPES[path.suffix],
        "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        # Kept, and asked for again each time: a new version of the service is seen at once.
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
    }
