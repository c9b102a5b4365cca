"""`python -m benchmarks.metrics`: what the metrics cost, with one worker and with several.

Several workers count in files that all of them map, one alone in its own memory. Each process
notes what a picture's request does, counts it as often as a worker beats, and is scraped. The two
take turns, so that what shakes the machine shakes both; processor time, medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import numpy as np

from benchmarks.payloads import ROOT
from service.metrics import FOLDER, Metrics
from service.served import Batched

_A_BEAT = 1000  # requests in the quarter of a second between two beats, at full load
_BEATS = 20


def measure() -> dict[str, float]:
    """In this process: microseconds a request for noting, for counting, and ms for a scrape."""
    metrics = Metrics()
    seconds = np.random.default_rng(0).exponential(0.01, _A_BEAT).tolist()
    noting = counting = 0.0
    for beat in range(_BEATS + 1):  # the first warms up
        started = time.process_time()
        for each in seconds:
            metrics.ran(("mnist-mlp-8", 1), "reconstruct", 1, Batched((), each, each, 64))
            timing = {"decode": each, "encode": each}
            metrics.answered("/denoise", "POST", 200, each, timing)
        noted = time.process_time()
        metrics.settle()
        if beat:
            noting += noted - started
            counting += time.process_time() - noted
    metrics.text()
    started = time.process_time()
    metrics.text()
    scrape = time.process_time() - started
    requests = _BEATS * _A_BEAT
    return {
        "noting a request, us": noting / requests * 1e6,
        "counting it, us": counting / requests * 1e6,
        "a scrape, ms": scrape * 1e3,
    }


def main() -> None:
    """Prints each cost with one worker, with several, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--here", action="store_true", help="measure in this process, as JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure()))
        return
    one, several = [], []
    for _ in range(options.rounds):
        one.append(_in_a_process({}))
        with tempfile.TemporaryDirectory() as folder:
            several.append(_in_a_process({FOLDER: folder}))
    for what in one[0]:
        alone, shared = ([costs[what] for costs in found] for found in (one, several))
        ratio = median(b / a for a, b in zip(alone, shared, strict=True))
        print(f"{what:22} {median(alone):6.2f} alone, {median(shared):6.2f} shared: {ratio:.2f}x")


def _in_a_process(environment: dict[str, str]) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.metrics", "--here"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    costs: dict[str, float] = json.loads(answer.stdout)
    return costs


if __name__ == "__main__":
    main()
