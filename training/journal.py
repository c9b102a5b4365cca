"""A file of JSON lines that is only ever added to, and survives being cut off in a line.

Several processes may write one, also on several machines that share its folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.locks import locked


class Journal:
    """What was found so far; its first line says of what, so that two are never mixed.

    Raises:
        TrainingError: the file is the journal of something else.
    """

    def __init__(self, path: Path, subject: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._lock):
            kept = self._whole_lines()
            if not kept:
                self._write({"of": subject})
            elif json.loads(kept.split(b"\n", 1)[0]) != {"of": subject}:
                raise TrainingError(f"{path} is the journal of something else: move it away first")

    @property
    def _lock(self) -> Path:
        return self.path.with_suffix(".lock")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines after the first."""
        with locked(self._lock):  # or one that is being written elsewhere would be half a line
            whole = self._whole_lines()
        for line in whole.splitlines()[1:]:
            yield json.loads(line)

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line, and is not back before it is on the disk."""
        with locked(self._lock):
            self._whole_lines()
            self._write(line)

    def _whole_lines(self) -> bytes:
        """What the file holds; a line without its end, whose writer was killed, is cut off."""
        whole = self.path.read_bytes() if self.path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            os.truncate(self.path, len(kept))
        return kept

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
