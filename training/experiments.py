"""The commands beside training: search."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training import data, recipes, search

RESULTS = data.CHECKOUT / "docs" / "reproduction"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the commands; each sets `run`, to be called with the options and a console."""
    command = commands.add_parser("search", help="R2's random search; a killed one resumes")
    command.add_argument("name", nargs="?", default="mnist-conv-6", help="the network searched")
    command.add_argument("--draws", type=int, default=35, help="points of the 19 x 19 grid")
    command.add_argument("--folds", type=int, default=4)
    command.add_argument("--epochs", type=int, default=15, help="15 in R2's code, 40 in its text")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--halving", action="store_true", help="all epochs for the better only")
    command.add_argument("--processes", type=int, default=2, help="networks trained at once")
    command.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    command.set_defaults(run=_search)
    for each in (command,):
        each.add_argument("--data", metavar="ROOT", help="folder of the data sets")
        each.add_argument("--results", type=Path, default=RESULTS, help="where JSON is written")


def _search(options: argparse.Namespace, console: Console) -> None:
    wanted = search.Search(
        recipes.named(options.name), options.draws, options.folds, options.epochs, options.seed,
        options.halving,
    )  # fmt: skip
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} epochs"),
        TextColumn("best fold {task.fields[best]:.5f}"),
        TimeRemainingColumn(),
    )
    best = float("inf")
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(options.name, total=1, best=best)

        def progress(done: int, total: int, outcome: search.Outcome | None) -> None:
            nonlocal best
            best = min(best, outcome.loss if outcome else best)
            bar.update(task, completed=done, total=total, best=best)

        folder = options.runs / f"search-{options.name}"
        rows = search.run(
            wanted, data.root(options.data), folder, processes=options.processes, progress=progress
        )
    save(options.results / f"search-{options.name}.json", {
        "recipe": repr(wanted.base), "draws": wanted.draws, "folds": wanted.folds,
        "epochs": wanted.epochs, "seed": wanted.seed, "halving": wanted.halving,
        "points": [{**asdict(row), "mean": row.mean} for row in rows],
    })  # fmt: skip
    table = Table(title=f"{options.name}: loss after the last epoch, mean of {wanted.folds} folds")
    for name in ("rate", "L2", "epochs", "mean", "spread", "died"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row.lr:g}", f"{row.l2:g}", str(row.epochs), f"{row.mean:.5f}", f"{row.spread:.5f}",
            f"{row.died} of {wanted.folds}" if row.died else "",
        )  # fmt: skip
    console.print(table)


def save(path: Path, content: object) -> None:
    """Writes JSON that a line-by-line diff can follow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
