"""The models folder as it lies on disk: which versions there are, and whether one has changed."""

from __future__ import annotations

import os
from pathlib import Path

State = tuple[tuple[str, int, int, int, int], ...]


def versions(models: Path) -> dict[str, Path]:
    """Every NAME/VERSION that may be a model, by that key; low versions of a model first.

    Raises:
        OSError: the folder cannot be read, which is another thing than one without models.
    """
    found: list[Path] = []
    for name in _folders(models):
        try:
            found += _folders(name)
        except FileNotFoundError:  # gone since it was listed
            continue
    found.sort(key=lambda folder: (folder.parent.name, len(folder.name), folder.name))
    return {f"{folder.parent.name}/{folder.name}": folder for folder in found}


def state(folder: Path) -> State:
    """What tells one content of a folder from another without reading it; empty if it is gone.

    The change time cannot be set back, as the modification time can by whoever copies files.
    """
    try:
        with os.scandir(folder) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries]
    except FileNotFoundError:
        return ()
    except OSError as error:
        return ((str(error.strerror), 0, 0, 0, 0),)
    return tuple(sorted((n, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for n, s in stats))


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(e.path) for e in entries if not e.name.startswith(".") and _is_folder(e)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False
