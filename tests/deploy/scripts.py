"""Runs the programs that are installed beside this Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


def run(program, *arguments, environment=None):
    """What a program said and its exit status, which is for the caller to judge."""
    return subprocess.run(
        [SCRIPTS / program, *arguments],
        env={**os.environ, **(environment or {}), "PATH": os.environ["PATH"]},  # not the image's
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
