"""What is known of one request on its way, in one place from the gate to its answer."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from random import getrandbits
from typing import TYPE_CHECKING

from starlette.types import Scope

from service.budget import Budget, Share
from service.progress import Progress

if TYPE_CHECKING:  # connections know their requests, not the other way round
    from service.cycles import Cycle

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Random bits for each request would take longer to write down than a picture's head to read.
_PROCESS, _NUMBERS = f"{getrandbits(96):024x}", count()
_MILLI = (1e3).__mul__
_NOSNIFF = b"x-content-type-options", b"nosniff"
_LINES = b"x-request-id: %%b\r\nserver-timing: %%b\r\n%b: %b\r\n" % _NOSNIFF


class Visit(Share):
    """One request: who it is, when it came, what it holds, and where its time went.

    `headers` has of those that were sent twice the first, as starlette's Headers do. `timing` has
    phases in seconds, to which routes add. Moments are of `time.perf_counter`, but for `arrived`
    and `deadline`, which are of `time.monotonic`.
    """

    whole = 0.0  # when the last of its body was there
    body: bytes | None = None  # all of it, where that was there at once, and until it is read
    ran = 0.0  # when its last run ended
    status = 0  # of its answer, once that has begun
    deadline = 0.0  # when its answer would be of no use; 0 before anybody asked
    allowed = 0.0  # the seconds that the deadline is made of
    over: Exception | None = None  # why nobody waits for its answer any more
    model = ""  # NAME/VERSION
    caller = ""  # the name of its API key
    trace_id = ""
    cycle: Cycle | None = None  # where nothing is between it and us
    progress: Progress | None = None  # of a large image, where the caller asked for it

    def __init__(self, headers: Mapping[bytes, bytes], budget: Budget) -> None:
        self.budget = budget
        self.headers = headers
        self.started = time.perf_counter()
        self.arrived = time.monotonic()
        self.timing: dict[str, float] = {}
        given = headers.get(b"x-request-id")
        # An id must be unique, not secret: the operating system's random bytes cost more.
        self.id = given.decode() if given and _ID.fullmatch(given) else new_id()

    def closing(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that every answer has."""
        named = (b"x-request-id", self.id.encode()), (b"server-timing", self.server_timing())
        return *named, _NOSNIFF

    def lines(self) -> bytes:
        """The same as they go over the wire."""
        return _LINES % (self.id.encode(), self.server_timing())

    def server_timing(self) -> bytes:
        """The header Server-Timing: the phases so far, and the time since the request came."""
        seconds = *self.timing.values(), time.perf_counter() - self.started
        return _phases(tuple(self.timing)) % tuple(map(_MILLI, seconds))


@lru_cache(64)
def _phases(names: tuple[str, ...]) -> bytes:
    return b", ".join([b"%b;dur=%%.3f" % name.encode() for name in (*names, "total")])


def new_id() -> str:
    """A number of this process's own, and which of its requests it is."""
    return f"{_PROCESS}{next(_NUMBERS):08x}"


def visit_of(scope: Scope) -> Visit:
    """What the outermost layer began for this request."""
    visit: Visit = scope["state"]["visit"]
    return visit
