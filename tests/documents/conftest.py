"""A checkout of the tests' own, in which the commands of the documents may write what they like."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documents.pages import ROOT
from tests.server import Server, serving

ADDRESS = "http://127.0.0.1:8000"
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "runs", "__pycache__", "*.egg-info", ".*_cache"
)


@dataclass(frozen=True)
class Checkout:
    """A folder as after `make serve` and `make test`, and a service of its models."""

    folder: Path
    server: Server

    @property
    def environment(self) -> dict[str, str]:
        """As a shell has it there, without the caller's settings."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("AUTOENCODER_", "PYTEST_"))
        }
        path = f"{self.folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
        return kept | {
            "AUTOENCODER_URL": self.server.url, "PATH": path, "PYTHONPATH": str(self.folder),
        }  # fmt: skip

    def run(self, command: str, *, fails: bool = False, seconds: float = 300, **more: str) -> str:
        """What a command prints, typed in bash; it must end well, or badly where that is said."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace(ADDRESS, self.server.url)],
            cwd=self.folder, env=self.environment | more, timeout=seconds,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        assert bool(done.returncode) == fails, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("newcomer") / "autoencoder-service"
    shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)
    for name in (".venv", ".venv-cpu"):
        environment(folder / name)
    with serving(folder / "models", reload_seconds=0.5) as server:
        yield Checkout(folder, server)


def environment(folder: Path) -> None:
    """This Python's environment under another name, with the stamps of a whole installation."""
    folder.mkdir()
    for entry in Path(sys.prefix).iterdir():
        (folder / entry.name).symlink_to(entry)
    for stamp in (".ready", ".ready-serve", ".ready-test"):
        (folder / stamp).unlink(missing_ok=True)
        (folder / stamp).touch()
