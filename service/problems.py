"""Errors as `application/problem+json` (RFC 9457): what went wrong, and what would have worked.

Under /v2 they are `{"error": "text"}` instead: the inference protocol's clients read nothing else.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.errors import RequestError, Stopping
from service.visit import visit_of

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error, as RFC 9457 has it; some kinds carry further members."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="what went wrong, and what would have worked")
    request_id: str


_STATUSES = {
    400: "malformed",
    401: "no API key that is known (only where keys are asked for)",
    403: "the API key is not for this (only where keys are asked for)",
    404: "no such model or version",
    406: "no answer of the kind asked for",
    409: "the model lacks the ability",
    413: "too large",
    415: "content type not taken",
    422: "not an image, a wrong size, or an option out of range",
    429: "more than the API key's rate: see Retry-After",
    503: "overloaded, or stopping: see Retry-After",
    504: "deadline exceeded",
}
_SCHEMA = {"schema": {"$ref": "#/components/schemas/Problem"}}

# What OpenAPI says of every route.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {MEDIA_TYPE: _SCHEMA}}
    for status, what in _STATUSES.items()
}


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    path: str,
    request_id: str,
    extra: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer to a request for `path` that failed."""
    if path == "/v2" or path.startswith("/v2/"):
        return Response(to_json({"error": detail}), status, headers, media_type="application/json")
    # As `Problem` has it; to make one first would double what a refusal's body costs.
    members = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return Response(to_json(members | (extra or {})), status, headers, media_type=MEDIA_TYPE)


def internal(path: str, request_id: str) -> Response:
    """The answer where the fault is ours; what it was stands in the log, under the id."""
    detail = "a fault of ours: quote the request id when you report it"
    return problem(500, "Internal error", detail, path=path, request_id=request_id)


def cut_off(scope: Scope) -> Response | None:
    """The answer where the server gives up waiting for one; None where it is not stopping.

    It cancels what is under way then, and would say 500 itself.
    """
    if not scope["app"].state.worker.stopping:
        return None
    why = "the service stops, and this took longer than it waits"
    return answer_to(Stopping.after(1, why, reason="stopping"), scope)


def handle(app: FastAPI) -> None:
    """Makes every error that a request can cause a problem document."""
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _ours)


def answer_to(error: RequestError, scope: Scope) -> Response:
    """The answer to the request of `scope`, which cannot be answered as asked."""
    if error.reason:
        scope["app"].state.refusals.add(error.reason)
    return problem(
        error.status,
        error.title,
        error.detail,
        path=scope["path"],
        request_id=visit_of(scope).id,
        extra=error.extra,
        headers=error.headers,
    )


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return answer_to(error, request.scope)


async def _ours(_: Request, error: Exception) -> Response:
    raise error  # `service.middleware` answers it, and logs it once


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
    detail = f"{'; '.join(faults)}; see /docs"
    return problem(
        422,
        "Option out of range",
        detail,
        path=request.scope["path"],
        request_id=visit_of(request.scope).id,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(
        error.status_code,
        HTTPStatus(error.status_code).phrase,
        f"{request.method} {request.url.path[:200]}: {error.detail}; see /docs for the routes",
        path=request.scope["path"],
        request_id=visit_of(request.scope).id,
        headers=dict(error.headers or {}),
    )
