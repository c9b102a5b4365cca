"""What the logs look like, and a way to stderr that nobody waits for; for entry points alone."""

from __future__ import annotations

import logging
import os
import threading
from queue import SimpleQueue
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_STDERR = 2
_MOST = 2**20  # bytes of lines that wait to be written
_PATIENCE = 1.0  # seconds that the end of the process waits for its last lines


class Lines(logging.Handler):
    """Writes to stderr from a thread of its own, and drops lines where stderr takes no more.

    A write to a pipe that nobody reads, or to a disk that hangs, does not return: whoever made it
    in the event loop would answer no more.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: SimpleQueue[bytes | threading.Event | None] = SimpleQueue()
        # Each is counted by one thread only, so that none needs a lock.
        self._put = self._taken = 0
        self._refused = self._failed = self._told = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Lines that nobody will read."""
        return self._refused + self._failed

    def emit(self, record: logging.LogRecord) -> None:
        waiting = self._put - self._taken
        if waiting > _MOST:
            self._refused += 1
            return
        if self._refused > self._told and waiting < _MOST / 2:
            lost, self._told = self._refused - self._told, self._refused
            what = "%d log lines were dropped here: stderr took no more"
            self._send(logging.LogRecord(__name__, logging.WARNING, "", 0, what, (lost,), None))
        self._send(record)

    def flush(self) -> None:
        """Waits until all is written, but not for ever."""
        written = threading.Event()
        self._lines.put(written)
        written.wait(_PATIENCE)

    def close(self) -> None:
        self._lines.put(None)
        super().close()

    def _send(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:
            self.handleError(record)
            return
        self._put += len(line)
        self._lines.put(line)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if isinstance(line, threading.Event):
                line.set()
                continue
            try:
                self._failed += os.write(_STDERR, line) < len(line)
            except OSError:  # a full disk, a reader that is gone
                self._failed += 1
            self._taken += len(line)


def dropped() -> int:
    """How many lines of this process were dropped."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, Lines))


def configuration(style: Literal["text", "json"], level: str) -> dict[str, Any]:
    """A `logging.config` dictionary: every logger to stderr, as text or one JSON object a line."""
    json_lines = {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "format": "%(levelname)s %(name)s %(message)s",
        "rename_fields": {"levelname": "level", "name": "logger"},
        "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
        "timestamp": True,
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": json_lines if style == "json" else {"format": _TEXT}},
        "handlers": {"stderr": {"class": "service.log.Lines", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
    }
