"""`python -m benchmarks.serving`: ours, the floor and the peers, and docs/benchmarks.md of it.

Rounds are interleaved: each starts every server once, so that what shakes the machine shakes all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from benchmarks import report, workloads
from benchmarks.contenders import FLOOR, NAIVE, OURS, PEERS, Contender
from benchmarks.environment import commit, processor
from benchmarks.payloads import COLOURS_MODEL, DIGITS_MODEL, ROOT
from benchmarks.processes import client
from benchmarks.workloads import Bench

FIGURES = ROOT / "benchmarks" / "figures.json"
PAGE = ROOT / "docs" / "benchmarks.md"
_WORKLOADS = ("singles", "batches", "mixed", "rest")


def main() -> None:
    """Measures, and writes the figures and the page."""
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    load = workloads.at_rest_load()
    contenders, skipped = [FLOOR, OURS, NAIVE], dict[str, str]()
    wanted = options.peers if "singles" in options.only else ()
    for peer in (peer for peer in PEERS if peer.name in wanted):
        reason = peer.install()
        if reason:
            skipped[peer.name] = reason
            print(f"skipped {peer.name}: {reason}")
        else:
            contenders.append(peer)
    with client(cores[1:2]) as pool:
        bench = Bench(pool, cores[:1], options.port, options.seconds)
        for number in range(options.rounds):
            _round(bench, contenders, skipped, options.only)
            print(f"round {number + 1} of {options.rounds} done, {time.strftime('%H:%M:%S')}")
    figures = {
        "hardware": {
            "processor": processor(),
            "cores": "one for the server, one for the load",
            "load_before": round(load, 2),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "turns": workloads.TURNS,
        "versions": {contender.name: contender.version() for contender in contenders},
        "skipped": skipped,
        "found": {
            name: [float(f"{x:.5g}") for x in values] for name, values in bench.found.items()
        },
    }
    if set(options.only) < set(_WORKLOADS):
        figures = _renewed(json.loads(FIGURES.read_text()), figures, options.only)
    path = Path(options.out) if options.out else FIGURES
    path.write_text(json.dumps(figures, indent=1) + "\n")
    if not options.out:
        PAGE.write_text(report.page(figures))
    print(report.page(figures))


def _round(
    bench: Bench, contenders: list[Contender], skipped: dict[str, str], only: Collection[str]
) -> None:
    if "singles" in only:
        _singles(bench, [c for c in contenders if not c.busy], skipped)
        for contender in contenders:
            if contender.busy:
                _singles(bench, [contender], skipped)
    if "batches" in only:
        for model in (DIGITS_MODEL, COLOURS_MODEL):
            workloads.batches(bench, (OURS, NAIVE), model)
    if "mixed" in only:
        workloads.mixed(bench)
    if "rest" in only:
        workloads.rest(bench)


def _singles(bench: Bench, contenders: list[Contender], skipped: dict[str, str]) -> None:
    failed = workloads.singles(bench, [c for c in contenders if c.name not in skipped])
    for name, error in failed.items():
        if name in {FLOOR.name, OURS.name, NAIVE.name}:
            raise RuntimeError(error)
        skipped[name] = error.strip().splitlines()[-1][:200]
        print(f"skipped {name}: {error}")


def _renewed(
    before: dict[str, Any], figures: dict[str, Any], only: Collection[str]
) -> dict[str, Any]:
    """Figures of before with some workloads' measured again; what was measured when is kept."""
    what = f"{figures['date']}, commit {figures['commit']}"
    again = before.get("again", {}) | dict.fromkeys(sorted(only), what)
    return before | {"found": before["found"] | figures["found"], "again": again}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--port", type=int, default=8390)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names, help="default: all")
    parser.add_argument(
        "--only", nargs="+", choices=_WORKLOADS, default=list(_WORKLOADS),
        help="measure these again, and keep the other figures",
    )  # fmt: skip
    parser.add_argument("--out", help="write the figures here, and no page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
