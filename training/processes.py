"""Many models over the cores: each on one thread of a process of its own, the longest first.

Networks this small gain little from a second thread, so that two at a time take half as long.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import get_context, parent_process
from pathlib import Path

# A command line, which gives an exit status.
Command = Callable[[list[str]], int]


def longest_first(names: Iterable[str], models: Path) -> dict[str, float]:
    """Each name with the seconds that its published model took to train.

    What has not been trained yet may take longest, and is put first with the longest's seconds.
    """
    known: dict[str, float] = {}
    for path in models.glob("*/1/model.json"):
        card = json.loads(path.read_text(encoding="utf-8"))
        known[card["name"]] = float(card["provenance"]["seconds"])
    longest = max(known.values(), default=0.0)
    costs = {name: known.get(name, longest) for name in names}
    return dict(sorted(costs.items(), key=lambda item: (item[0] in known, -item[1])))


def pool(processes: int) -> ProcessPoolExecutor:
    """Processes that end with this one, however it ends.

    Spawned, not forked: torch's threads do not survive a fork.
    """
    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin)


def _begin() -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A parent that is killed cannot say so: its workers would train on for nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def run(
    command: Command, jobs: dict[str, list[str]], logs: Path, processes: int
) -> Iterator[tuple[str, int]]:
    """Runs `command` with the arguments of each job, and gives names and exit statuses as they end.

    What a job prints is in `logs`/NAME.log.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with pool(processes) as workers:
        try:
            futures = {
                workers.submit(_logged, command, arguments, logs / f"{name}.log"): name
                for name, arguments in jobs.items()
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            workers.shutdown(wait=True, cancel_futures=True)
            raise


def _logged(command: Command, arguments: list[str], log: Path) -> int:
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        return command(arguments)
