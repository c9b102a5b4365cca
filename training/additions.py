"""Publishes a model again with something more in its folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service import manifest
from service.manifest import Manifest


@contextmanager
def staged(folder: Path, card: Manifest) -> Iterator[Path]:
    """A copy of a published model's files, to be changed and published; removed at the end."""
    staging = Path(tempfile.mkdtemp(prefix=f".{card.name}.", dir=folder.parent.parent))
    # mkdtemp makes it for one user only; a server that runs as another must read it.
    staging.chmod(0o755)
    try:
        for file in card.files:
            shutil.copyfile(folder / file, staging / file)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def put(folder: Path, name: str, content: bytes) -> Path:
    """Publishes the model in `folder` again with that file in it, unless it has it already."""
    card = manifest.read(folder)
    if card.files.get(name) == hashlib.sha256(content).hexdigest():
        return folder
    with staged(folder, card) as staging:
        (staging / name).write_bytes(content)
        return manifest.write(staging, card, folder.parent.parent)
