"""BM3D (Dabov et al. 2007) as its authors publish it, in an environment that has `bm3d`.

    python -m benchmarks.peers.bm3d_photographs FOLDER RESULTS
    python -m benchmarks.peers.bm3d_photographs FOLDER --seconds

The first adds a line of JSON to RESULTS for each photograph and level that is not there yet, so
that a run which was stopped goes on; a megapixel takes about a minute. The second prints the
seconds that Set12's first picture takes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bm3d import bm3d

from benchmarks.photographs import LEVELS, SETS, photographs


def main(where: Path, results: Path) -> None:
    """Every photograph at every level."""
    done = set()
    if results.exists():
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        done = {(line["of"], line["place"], line["level"]) for line in lines}
    for name in SETS:
        for photograph in photographs(where, name):
            for level in LEVELS:
                if (name, photograph.place, level) in done:
                    continue
                noisy = photograph.noisy(level)
                started, worked = time.perf_counter(), time.process_time()
                answer = bm3d(noisy / 255, level / 255) * 255
                line = {
                    "of": name, "place": photograph.place, "level": level,
                    "psnr": round(photograph.psnr(answer), 4),
                    "seconds": round(time.perf_counter() - started, 3),
                    "cpu_seconds": round(time.process_time() - worked, 3),
                    "megapixels": photograph.clean.size / 1e6,
                }  # fmt: skip
                with results.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def seconds(where: Path) -> float:
    """Of the filter alone, on 256x256 pixels."""
    noisy = next(photographs(where, "set12")).noisy(25)
    started = time.perf_counter()
    bm3d(noisy / 255, 25 / 255)
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[2] == "--seconds":
        print(seconds(Path(sys.argv[1])))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
