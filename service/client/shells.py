"""`Client` and `AsyncClient`: they send what `Verbs` says, and nothing else is theirs."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import time
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from service.client import parts
from service.client.batches import Limits
from service.client.exchange import Ask, Outcome, Pause, Retries, Steps
from service.client.parts import Parts
from service.client.verbs import Verbs

P = ParamSpec("P")
T = TypeVar("T")

URL = "http://127.0.0.1:8000"
# Longer than the service's own deadline of 30 s: its 504 says more than a timeout does.
TIMEOUT = 60.0


def _sync(verb: Callable[Concatenate[Verbs, P], Steps[T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(verb)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(verb(self._verbs, *args, **kwargs))

    method.__signature__ = _signature(verb)  # type: ignore[attr-defined]
    return method


def _async(
    verb: Callable[Concatenate[Verbs, P], Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    @functools.wraps(verb)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(verb(self._verbs, *args, **kwargs))

    method.__signature__ = _signature(verb)  # type: ignore[attr-defined]
    return method


def _signature(verb: Callable[..., object]) -> inspect.Signature:
    """The verb's, for `help()`, but it returns what its steps end in."""
    *_, result = typing.get_args(typing.get_type_hints(verb)["return"])
    return inspect.signature(verb).replace(return_annotation=result)


class Client:
    """Calls the service, and keeps its connections open in between; threads may share one.

    Args:
        base_url: where the service is.
        timeout: seconds to wait for an answer.
        retries: how often to ask again after 429, 503 or a broken connection, or `Retries(...)`.
        headers: sent with every request; `AUTOENCODER_API_KEY` of the environment is too.
        limits: how much goes into one request; a call with more becomes several.
        transport: of httpx, as for a proxy or a socket of its own.
    """

    def __init__(
        self,
        base_url: str = URL,
        *,
        timeout: float = TIMEOUT,
        retries: int | Retries = 3,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._verbs = _verbs(retries, limits)
        self._http = httpx.Client(
            base_url=base_url, timeout=timeout, headers=_with_key(headers), transport=transport
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    continue
                try:
                    outcome = self._answer(step)
                except httpx.RequestError as error:
                    outcome = error
        except StopIteration as done:
            result: T = done.value
            return result

    def _answer(self, ask: Ask) -> httpx.Response:
        if ask.told is None:
            return self._http.request(**_request(ask))
        with self._http.stream(**_request(ask)) as whole:
            if not parts.are_in(whole):
                whole.read()
                return whole
            told = Parts(whole, ask.told)
            for data in whole.iter_bytes():
                told.feed(data)
        return told.response()

    denoise = _sync(Verbs.denoise)
    reconstruct = _sync(Verbs.reconstruct)
    encode = _sync(Verbs.encode)
    decode = _sync(Verbs.decode)
    interpolate = _sync(Verbs.interpolate)
    sample = _sync(Verbs.sample)
    classify = _sync(Verbs.classify)
    models = _sync(Verbs.models)
    model = _sync(Verbs.model)
    ready = _sync(Verbs.ready)
    live = _sync(Verbs.live)


class AsyncClient:
    """`Client` with every method to be awaited; one may serve many tasks at once."""

    def __init__(
        self,
        base_url: str = URL,
        *,
        timeout: float = TIMEOUT,
        retries: int | Retries = 3,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._verbs = _verbs(retries, limits)
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=timeout, headers=_with_key(headers), transport=transport
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    continue
                try:
                    outcome = await self._answer(step)
                except httpx.RequestError as error:
                    outcome = error
        except StopIteration as done:
            result: T = done.value
            return result

    async def _answer(self, ask: Ask) -> httpx.Response:
        if ask.told is None:
            return await self._http.request(**_request(ask))
        async with self._http.stream(**_request(ask)) as whole:
            if not parts.are_in(whole):
                await whole.aread()
                return whole
            told = Parts(whole, ask.told)
            async for data in whole.aiter_bytes():
                told.feed(data)
        return told.response()

    denoise = _async(Verbs.denoise)
    reconstruct = _async(Verbs.reconstruct)
    encode = _async(Verbs.encode)
    decode = _async(Verbs.decode)
    interpolate = _async(Verbs.interpolate)
    sample = _async(Verbs.sample)
    classify = _async(Verbs.classify)
    models = _async(Verbs.models)
    model = _async(Verbs.model)
    ready = _async(Verbs.ready)
    live = _async(Verbs.live)


def _verbs(retries: int | Retries, limits: Limits | None) -> Verbs:
    policy = retries if isinstance(retries, Retries) else Retries(retries)
    return Verbs(policy, limits or Limits())


def _request(ask: Ask) -> dict[str, Any]:
    headers = dict(ask.headers)
    if ask.body.content is not None:
        headers["Content-Type"] = ask.body.content_type
    return {
        "method": ask.method,
        "url": ask.path,
        "params": ask.query,
        "headers": headers,
        "content": ask.body.content,
        "files": ask.body.files,
    }


def _with_key(headers: Mapping[str, str] | None) -> httpx.Headers:
    """The headers, and the environment's API key unless they bring one."""
    given = httpx.Headers(headers)
    if key := os.environ.get("AUTOENCODER_API_KEY"):
        given.setdefault("Authorization", f"Bearer {key}")
    return given
