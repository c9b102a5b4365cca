"""A file of JSON lines that is only ever added to, and survives being cut off in a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import TrainingError


class Journal:
    """What was found so far; its first line says of what, so that two are never mixed.

    Raises:
        TrainingError: the file is the journal of something else.
    """

    def __init__(self, path: Path, subject: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes() if path.exists() else b""
        # A line without its end was being written when the process was killed.
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            path.write_bytes(kept)
        if not kept:
            self.append({"of": subject})
        elif json.loads(kept.split(b"\n", 1)[0]) != {"of": subject}:
            raise TrainingError(f"{path} is the journal of something else: move it away first")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines after the first."""
        for text in self.path.read_text(encoding="utf-8").splitlines()[1:]:
            yield json.loads(text)

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line, and is not back before it is on the disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
