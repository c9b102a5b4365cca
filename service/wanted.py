"""Which models all workers shall serve: a load that one of them was asked for reaches all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

_ROOM = 2**20  # bytes: thousands of names
_PATIENCE = 1.0  # seconds; whoever holds the lock for longer was killed with it


@dataclass
class Wish:
    """What was asked for so far; `change` counts up, and so does each model's `loads`."""

    change: int = 0
    unloaded: set[str] = field(default_factory=set)
    loads: dict[str, int] = field(default_factory=dict)

    def load(self, name: str) -> None:
        """The model shall be served, from its folder as it is now."""
        self.unloaded.discard(name)
        self.loads[name] = self.loads.get(name, 0) + 1

    def unload(self, name: str) -> None:
        """The model shall not be served."""
        self.unloaded.add(name)


class Wanted:
    """A wish in memory that all workers share, changed by one of them at a time."""

    def __init__(self) -> None:
        spawn = get_context("spawn")
        self._text: Any = spawn.RawArray("c", _ROOM)
        self._lock = spawn.Lock()
        self._change = spawn.RawValue("q", 0)

    @property
    def change(self) -> int:
        """The number of the last change."""
        return int(self._change.value)

    def read(self) -> Wish:
        """What is wanted now."""
        with self._locked():
            return self._read()

    def update(self, change: Callable[[Wish], None]) -> int:
        """Changes what is wanted; gives the number of this change."""
        with self._locked():
            wish = self._read()
            change(wish)
            wish.change += 1
            fields = {"unloaded": sorted(wish.unloaded), "loads": wish.loads}
            self._text.value = json.dumps({"change": wish.change, **fields}).encode()
            self._change.value = wish.change
            return wish.change

    def _read(self) -> Wish:
        text = json.loads(self._text.value or "{}")
        return Wish(text.get("change", 0), set(text.get("unloaded", ())), text.get("loads", {}))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            with suppress(ValueError):  # it took longer, and was given up
                self._lock.release()
