"""uvicorn's server, which goes on serving for a while when it is asked to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from types import FrameType

import uvicorn

from service.board import Board, State
from service.listening import let_in, let_nobody_in

log = logging.getLogger(__name__)

# Between two looks for garbage in cycles, which only errors make; Python looks after 700.
_ALLOCATIONS = 20_000
_TICK = 0.25  # seconds between two looks whether to stop, and at the clock for the Date header
_AFTERWARDS = 2.0  # seconds for what is left once every request is answered
_LAST = 0.5  # seconds for who is just connecting, and again for the request of who just has


class Server(uvicorn.Server):
    """Stops in three steps: not ready, then no new connections, then nothing left to answer."""

    def __init__(self, config: uvicorn.Config, board: Board, slot: int, lame_duck: float) -> None:
        super().__init__(config)
        self._board, self._row = board, board.row(slot)
        self._lame_duck = lame_duck

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Loads the models and listens; what is there by then is there for good."""
        await super().startup(sockets)
        # Looking through it for garbage again and again took an eighth of a small request's time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS)

    async def main_loop(self) -> None:
        """Serves until it is to stop; uvicorn's looks ten times a second, and is most of a rest."""
        while not await self.on_tick(0):
            await asyncio.sleep(_TICK)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT came; somebody at the keyboard waits for no load balancer."""
        if sig == signal.SIGINT:
            self._lame_duck = 0.0
        self._row.state = State.STOPPING
        if not self.should_exit:
            _end(
                self._lame_duck + (self.config.timeout_graceful_shutdown or 0) + 3 * _AFTERWARDS, 1
            )
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
        await self._stop_listening(sockets or [])
        await asyncio.sleep(min(_LAST, self._lame_duck))
        await super().shutdown(sockets)
        _end(_AFTERWARDS, 0)

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Takes no connection any more, but those whose callers the system has let in."""
        copies = [sock.dup() for server in self.servers for sock in server.sockets]
        if self._board.workers == 1 or self._board.stopping:  # else the others take them
            for copy in copies:
                let_nobody_in(copy)
            await asyncio.sleep(min(_LAST, self._lame_duck))
        for copy in copies:
            copy.setblocking(False)
        # Both before and after: uvloop resets what waits at a server that is closed.
        waiting = let_in(copies)
        for server in self.servers:
            server.close()
        for sock in sockets:
            sock.close()
        waiting += let_in(copies)
        for copy in copies:
            copy.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        """What serves one connection, made as uvicorn makes it."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _end(seconds: float, status: int) -> None:
    """Ends this process then, if it has not ended: a thread may hang in the runtime for ever."""
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()
