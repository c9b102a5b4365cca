"""What a connection waits for, and how long: a head, a body, its next request, somebody who reads.

A head or a body that comes too slowly is 408, an answer that nobody reads is given up, and a
connection on which nothing comes is closed.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.cycles import Cycle
from service.refusals import Refusals
from service.settings import Settings

# Seconds between looks at how fast a body comes.
_INTERVAL = 2.0


class Timed(HttpToolsProtocol):
    """A connection whose peer must be in time.

    The lifespan's state must hold `settings` and `refusals`.
    """

    cycle: Cycle

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits: Settings = app_state["settings"]
        self._refusals: Refusals = app_state["refusals"]
        self._heading = False  # whether a request's head has begun to come, and not ended
        self._expected = "head"  # or "body"; "" while no more of a request is to come
        self._timed = ""  # what `_timer` watches over
        self._timer: asyncio.TimerHandle | None = None
        self._body_since = self._idle_since = 0.0
        self._received = 0  # bytes since the timer last looked
        self._unread: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None

    @abstractmethod
    def _refuse(
        self, status: int, reason: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        """Answers in the application's place, and ends the connection."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.write_timeout, self._nobody_reads)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _rest(self) -> None:
        """Everything is answered, and it waits for the next request."""
        self._idle_since = self.loop.time()
        if self._idle is None:  # one timer again and again: to make one takes as long as a header
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_at_idleness)

    def _watch_no_more(self) -> None:
        """The connection is over."""
        for timer in (self._timer, self._unread, self._idle):
            if timer is not None:
                timer.cancel()

    def _look_at_idleness(self) -> None:
        left = float(self.timeout_keep_alive)
        if self._expected == "" and self.cycle.response_complete:
            left += self._idle_since - self.loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._idle = self.loop.call_later(left, self._look_at_idleness)

    def _watch(self) -> None:
        """Has the timer watch over what is expected now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timed = self._expected
        if self._expected == "head":
            self._timer = self.loop.call_later(self._limits.head_timeout, self._head_is_late)
        elif self._expected == "body":
            self._received = 0
            self._timer = self.loop.call_later(_INTERVAL, self._look_at_body)

    def _head_is_late(self) -> None:
        if not self._heading:  # nothing has come yet
            self.transport.close()
        elif self.flow.read_paused:  # it is we who do not take it
            self._watch()
        else:
            seconds = self._limits.head_timeout
            self._refuse(408, "slow_head", f"the request's head did not come within {seconds:g} s")

    def _look_at_body(self) -> None:
        rate = self._received / _INTERVAL
        self._received = 0
        if self.flow.read_paused:  # it is we who do not take it
            self._body_since += _INTERVAL
        elif rate < self._limits.min_body_rate:
            self._body_is_late(f"slower than {self._limits.min_body_rate} bytes a second")
            return
        elif self.loop.time() - self._body_since > self._limits.body_timeout:
            self._body_is_late(f"not there within {self._limits.body_timeout:g} s")
            return
        self._timer = self.loop.call_later(_INTERVAL, self._look_at_body)

    def _body_is_late(self, what: str) -> None:
        if self.cycle.response_complete:  # refused before its end, and never ended
            self.transport.close()
        else:
            self._refuse(408, "slow_body", f"the request's body is {what}")

    def _nobody_reads(self) -> None:
        self._refusals.add("slow_reader")
        self.transport.abort()
