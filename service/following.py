"""Keeps a worker up with the models folder, and with the loads that any worker was asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from service.board import SILENT, Board, Row, State
from service.catalog import Catalog
from service.errors import AutoencoderError, ManifestError, Overloaded
from service.settings import Settings
from service.wanted import Wish

log = logging.getLogger(__name__)

_LOOK = 0.25  # seconds between two looks at what is wanted


class Follower:
    """Two loops, and the two requests that change what all workers serve."""

    def __init__(self, catalog: Catalog, settings: Settings, board: Board, own: Row) -> None:
        self._catalog = catalog
        self._settings = settings
        self._board = board
        self._own = own
        self._wish = board.wanted.read() if board.wanted else Wish()
        self._own.applied = self._wish.change

    async def load(self, name: str) -> None:
        """Loads a model anew in every worker.

        Raises:
            NotFound, ManifestError: as `Versions.reload`.
            Overloaded: a worker has not done so in time; it does as soon as it can.
        """
        fault = None
        try:
            await self._catalog.reload(name)
        except ManifestError as error:  # what holds of it is served all the same
            fault = error
        await self._spread(Wish.load, name)
        if fault:
            raise fault

    async def unload(self, name: str) -> None:
        """Stops serving a model in every worker.

        Raises:
            NotFound: there is no such model.
            Overloaded: a worker has not done so in time; it does as soon as it can.
        """
        await self._catalog.unload(name)
        await self._spread(Wish.unload, name)

    async def watch(self) -> None:
        """Follows the models folder."""
        while self._settings.reload_seconds:
            await asyncio.sleep(self._settings.reload_seconds)
            try:
                await self._catalog.refresh()
            except Exception:  # whatever it is, what is served is served on
                log.exception("the models folder could not be followed")

    async def follow(self) -> None:
        """Does what other workers were asked for."""
        while self._board.wanted:
            await asyncio.sleep(_LOOK)
            if self._board.wanted.change != self._own.applied:
                await self._apply(self._board.wanted.read())

    async def _apply(self, wish: Wish) -> None:
        for name in wish.unloaded - self._catalog.unloaded:
            with suppress(AutoencoderError):
                await self._catalog.unload(name)
        for name, count in wish.loads.items():
            if count != self._wish.loads.get(name) and name not in wish.unloaded:
                with suppress(AutoencoderError):  # it is logged, and refused here as there
                    await self._catalog.reload(name)
        self._wish = wish
        self._own.applied = wish.change

    async def _spread(self, change: Callable[[Wish, str], None], name: str) -> None:
        """Makes a change that is made here every other worker's too, and waits for them."""
        if not self._board.wanted:
            return

        def make(wish: Wish) -> None:
            change(wish, name)
            if name in wish.loads:
                self._wish.loads[name] = wish.loads[name]

        number = self._board.wanted.update(make)
        deadline = time.monotonic() + self._settings.request_timeout
        while slow := [row for row in self._board.rows if _follows(row) and row.applied < number]:
            if time.monotonic() > deadline:
                why = f"{len(slow)} of {self._board.workers} workers have not followed yet"
                raise Overloaded.after(1.0, why, reason="workers")
            await asyncio.sleep(0.02)


def _follows(row: Row) -> bool:
    return row.state in (State.READY, State.UNREADY) and not row.silent(SILENT)
