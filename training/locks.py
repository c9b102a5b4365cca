"""Locks between processes, and between machines that share a folder.

They are the kernel's (POSIX record locks, which NFS 4 has too), so that whoever dies lets go.
One process holds each at most once: these locks are its own, not its threads'.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of that file, which is made; waits for it."""
    with path.open("ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Holds the lock of that file while it lasts, if nobody else does: says whether it does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield True
