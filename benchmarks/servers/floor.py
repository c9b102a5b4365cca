"""The floor: a bare ASGI application on uvicorn that reads the body and answers a fixed PNG."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from benchmarks.payloads import digits

_PNG = digits()[0]
_HEADERS = [(b"content-type", b"image/png"), (b"content-length", str(len(_PNG)).encode())]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers every request alike."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _PNG})
