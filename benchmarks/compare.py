"""`make bench`: ours and the floor now, against the last committed figures, as ratios.

Seconds differ from machine to machine, and ratios to the floor much less. Exits 1 if one is worse
than three quarters of what was committed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.payloads import ROOT
from benchmarks.report import ratios
from benchmarks.serving import FIGURES

_TOLERATED = 0.75


def main() -> None:
    """Measures without the peers, and compares."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "benchmarks.serving", "--peers", "--rounds", "3"]
        subprocess.run(
            [*command, "--seconds", "2", "--out", str(out), *sys.argv[1:]],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        now = ratios(json.loads(out.read_text()))
    before = ratios(json.loads(FIGURES.read_text()))
    worse = []
    for name, (figure, target) in now.items():
        was = before[name][0].median
        quotient = was / figure.median if target.less else figure.median / was
        print(f"{name:70} {was:8.3g} -> {figure.median:8.3g}{target.unit}  ({quotient:.2f})")
        if quotient < _TOLERATED:
            worse.append(name)
    if worse:
        sys.exit(f"worse than committed: {'; '.join(worse)}")


if __name__ == "__main__":
    main()
