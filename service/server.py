"""uvicorn's server, which goes on serving for a while when it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from types import FrameType

import uvicorn

from service.board import Row, State

log = logging.getLogger(__name__)

_AFTERWARDS = 2.0  # seconds for what is left once every request is answered


class Server(uvicorn.Server):
    """Stops in three steps: not ready, then no new connections, then nothing left to answer."""

    def __init__(self, config: uvicorn.Config, *, row: Row, lame_duck: float) -> None:
        super().__init__(config)
        self._row = row
        self._lame_duck = lame_duck

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT came; somebody at the keyboard waits for no load balancer."""
        if sig == signal.SIGINT:
            self._lame_duck = 0.0
        self._row.state = State.STOPPING
        if not self.should_exit:
            _end(self._lame_duck + (self.config.timeout_graceful_shutdown or 0) + _AFTERWARDS, 1)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the service of this process when every accepted request is answered."""
        # Every answer from now on ends its connection, so that no caller has one open, and a
        # request on its way, at the moment when the idle ones are closed.
        self.config.encoded_headers.append((b"connection", b"close"))
        if self._lame_duck:
            log.info("not ready from now on, and stopping in %g s", self._lame_duck)
        loop = asyncio.get_running_loop()
        end, tick = loop.time() + self._lame_duck, 0
        await self.on_tick(tick)
        while loop.time() < end and self._lame_duck and not self.force_exit:
            await asyncio.sleep(0.1)
            tick += 1
            await self.on_tick(tick)  # keeps the Date header right
        await super().shutdown(sockets)
        _end(_AFTERWARDS, 0)


def _end(seconds: float, status: int) -> None:
    """Ends this process then, if it has not ended: a thread may hang in the runtime for ever."""
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()
