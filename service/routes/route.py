"""The route class of the verbs: declared to FastAPI like any other, run without its machinery.

FastAPI's own way from a path to a function (a search through all routes, two exit stacks, solving
dependencies) costs more than a small model's inference. Here the function's query parameters are
read by one pydantic model made from its signature, so that OpenAPI and the parser cannot differ,
and what a query string says is remembered.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import lru_cache
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError, create_model
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import OutOfRange, Unprocessable

_REMEMBERED = 1024  # query strings a route; with seeds or versions in them there is no end


class VerbRequest(Request):
    """starlette's, without its checks of what is known here."""

    _stream_consumed = _is_disconnected = False
    _form = None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive


class VerbRoute(APIRoute):
    """`async def verb(request, option=default, ...) -> Response` at a path without parameters."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        **described: Any,  # noqa: ANN401 - whatever FastAPI takes
    ) -> None:
        self._read = lru_cache(_REMEMBERED)(_reader(endpoint))
        super().__init__(path, endpoint, **described)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def answer(request: Request) -> Response:
            response: Response = await self.endpoint(
                request, **self._read(request.scope["query_string"])
            )
            return response

        return answer

    def answer(self, request: Request) -> Awaitable[Response]:
        """Answers a request that is known to be this route's."""
        scope = request.scope
        scope["route"] = self
        answer: Awaitable[Response] = self.endpoint(request, **self._read(scope["query_string"]))
        return answer


class Verbs:
    """Finds a verb's route by its method and path at once; every other request is the `app`'s.

    `app` is the application with all of its layers: what a verb needs of them is around this.
    """

    def __init__(self, app: ASGIApp, *, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._routes = {
            (method, route.path): route
            for router in routers
            for route in router.routes
            if isinstance(route, VerbRoute)
            for method in route.methods or ()
        }

    def route_of(self, scope: Scope) -> VerbRoute | None:
        """The verb that is asked for, if it is one."""
        return self._routes.get((scope["method"], scope["path"]))

    def app(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answers what is no verb."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            return _as_get(self._app, scope, receive, send)
        return self._app(scope, receive, send)


async def _as_get(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """RFC 9110 has HEAD wherever GET is, and FastAPI does not; the connection keeps the body."""
    asked = {**scope, "method": "GET"}
    try:
        await app(asked, receive, send)
    finally:
        scope["route"] = asked.get("route")


def _reader(endpoint: Callable[..., Any]) -> Callable[[bytes], Mapping[str, Any]]:
    """What maps a query string to the arguments of `endpoint` after its first, the request."""
    hints = get_type_hints(endpoint, include_extras=True)
    _, *parameters = inspect.signature(endpoint).parameters.values()
    known = {parameter.name: (hints[parameter.name], parameter.default) for parameter in parameters}
    options: Any = create_model(endpoint.__name__, **known)  # type: ignore[call-overload]

    def read(query: bytes) -> Mapping[str, Any]:
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        for name in given:
            if name not in known:
                # A slip must not go unnoticed.
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}"
                raise Unprocessable(f"there is no option {name[:40]!r} here: {hint}")
        try:
            return vars(options.model_validate(given))
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise OutOfRange(f"{'; '.join(faults)}; see /docs") from None

    return read
