"""What a figure was measured on: the processor, and the state of the checkout."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from benchmarks.payloads import ROOT


def processor() -> str:
    """The processor as the system names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def commit() -> str:
    """The checkout's commit, shortened."""
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return answer.stdout.strip() or "unknown"
