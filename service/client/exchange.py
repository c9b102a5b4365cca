"""A call as steps: what to send, and how long to wait before sending it again.

No socket is touched here. A generator yields what it wants done and is sent what came of it, so
that the synchronous and the asynchronous client differ in two lines only.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from service.client import errors
from service.client.errors import Unreachable
from service.client.parts import Progress
from service.client.pictures import Body

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """Send this; the answer, or the exception that there was instead, is what comes back.

    With `told`, the answer is read part by part where the service gives it so.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)
    told: Progress | None = None


@dataclass(frozen=True)
class Pause:
    """Wait this long."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | None
Steps = Generator[Ask | Pause, Outcome, T]


@dataclass(frozen=True)
class Retries:
    """When to ask again: after 429 and 503, and where the connection failed.

    Every call gives the same answer however often it is made, so that asking again harms nobody.
    A Retry-After is kept to, and a little more, lest all come back at once; without one the pause
    doubles from `backoff` seconds. Pauses add up to at most `patience` seconds: a server that
    asks for more is believed, and the call fails at once. (httpx-retries would cut that pause
    short and ask too early; it also hides the environment's proxies.)
    """

    times: int = 3
    backoff: float = 0.25
    patience: float = 30.0

    def pause(self, outcome: Outcome, *, made: int, waited: float) -> float | None:
        """Seconds until the next try, after `made` retries and `waited` seconds; None: give up."""
        if made >= self.times or not _passing(outcome):
            return None
        seconds = None
        if isinstance(outcome, httpx.Response):
            seconds = errors.seconds_of(outcome.headers.get("Retry-After", ""))
        if seconds is None:
            seconds = self.backoff * 2**made
        seconds *= random.uniform(1, 1.25)
        return seconds if waited + seconds <= self.patience else None


def _passing(outcome: Outcome) -> bool:
    """Whether it may be over soon. A read that timed out is not: the work would only pile up."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in (429, 503)
    return isinstance(outcome, httpx.NetworkError | httpx.RemoteProtocolError)


def answered(ask: Ask, retries: Retries) -> Steps[httpx.Response]:
    """The answer, whatever its status, once there is one.

    Raises:
        Unreachable: there was none, to the last try.
    """
    made, waited = 0, 0.0
    while True:
        outcome = yield ask
        seconds = retries.pause(outcome, made=made, waited=waited)
        if seconds is None:
            break
        yield Pause(seconds)
        made, waited = made + 1, waited + seconds
    if isinstance(outcome, httpx.Response):
        return outcome
    assert outcome is not None
    where, why = outcome.request.url, str(outcome) or type(outcome).__name__
    raise Unreachable(
        f"no answer from {where}: {why}; is the service up there (autoencoder serve), and the "
        "address right?",
        request_id=ask.headers.get("X-Request-ID", ""),
    )


def good(ask: Ask, retries: Retries) -> Steps[httpx.Response]:
    """The answer, if it is no error.

    Raises:
        ServiceError: it is, or there was none.
    """
    response = yield from answered(ask, retries)
    if response.status_code >= 300:
        raise errors.from_answer(response.status_code, response.headers, response.content)
    return response
