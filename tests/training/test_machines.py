"""Machines that share nothing but a folder: one search, one of them killed, the table of a lone run.

Each has a clone, data and a working folder of its own; where the kernel lets an ordinary user, also
its own processes, name, mounts and a network that leads nowhere.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.training.conftest import write_mnist
from training.data import CHECKOUT
from training.locks import claimed

APART = [
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--uts",
    "--net",
]
SEARCH = [
    "search",
    "--draws",
    "3",
    "--folds",
    "2",
    "--epochs",
    "3",
    "--processes",
    "1",
    "--together",
]
TABLE = "docs/reproduction/search-mnist-conv-6.json"


def can_be_apart() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0


class Machine:
    """A clone that works on the search; `shared` is its folder `runs`, under a path of its own."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self.clone = folder / f"clone-on-{folder.name}"
        for package in ("training", "service"):
            leave = shutil.ignore_patterns("__pycache__", "page")
            shutil.copytree(CHECKOUT / package, self.clone / package, ignore=leave)
        self.table = self.clone / TABLE
        self.table.parent.mkdir(parents=True)
        write_mnist(self.clone / "data", train=13_000)
        runs, apart = self.clone / "runs", can_be_apart()
        if apart:
            runs.mkdir()
            enter = f"hostname {folder.name} && mount --bind {shared} {runs} && "
        else:
            runs.symlink_to(shared)
            enter = ""
        work = f'{enter}exec "{sys.executable}" -m training {" ".join(SEARCH)} "" --data data'
        self.process = subprocess.Popen(
            [*(APART if apart else ()), "sh", "-euc", work],
            cwd=self.clone, env=os.environ | {"PYTHONPATH": str(self.clone)}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def points(self) -> list[dict[str, object]]:
        """The table, once it is through."""
        printed, _ = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, printed
        points: list[dict[str, object]] = json.loads(self.table.read_text())["points"]
        return points

    def kill(self) -> None:
        """As if its power were cut: all of its processes, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=30)  # its output ends with the last of them


@contextmanager
def machines(place: Path, *names: str) -> Iterator[list[Machine]]:
    (place / "shared").mkdir(parents=True)
    started = [Machine(place / name, place / "shared") for name in names]
    try:
        yield started
    finally:
        for machine in started:
            if machine.process.poll() is None:
                machine.kill()


def held(shared: Path) -> int:
    """How many trials somebody is at just now."""
    count = 0
    for lock in shared.glob("*/trials/*.lock"):
        with claimed(lock) as free:
            count += not free
    return count


@pytest.mark.slow
def test_machines_that_share_a_folder_give_the_table_of_one_though_another_dies(
    tmp_path: Path,
) -> None:
    with machines(tmp_path / "alone", "lone") as [lone]:
        expected = lone.points()
    assert len(expected) == 3

    shared = tmp_path / "together/shared"
    with machines(tmp_path / "together", "one", "two") as [one, two]:
        deadline = time.monotonic() + 120
        while held(shared) < 2:  # each is at a trial
            assert time.monotonic() < deadline, "they are not at work at once"
            time.sleep(0.01)
        one.kill()
        assert held(shared) <= 1, "who dies lets go"
        assert two.points() == expected
    journal = (shared / "search-mnist-conv-6/journal.jsonl").read_text().splitlines()[1:]
    done = [(line["lr"], line["l2"], line["fold"]) for line in map(json.loads, journal)]
    assert len(done) == len(set(done)) == 6
