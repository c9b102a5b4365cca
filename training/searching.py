"""The command `search`: R2's random search, its table, and its best point trained alone.

`--also` adds points by name to the table of a search that was done, as the report's own, which no
draw need have hit: by the same folds, after the same epochs or as many as `--epochs` says.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training import data, ensemble, figures, loop, progress, recipes, search
from training.errors import TrainingError
from training.recipes import Recipe
from training.search import Result, Search
from training.trials import Outcome, Point

BF16 = "compute in bfloat16: faster on processors that have it (avx512_bf16, AMX) and on GPUs"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the command."""
    command = commands.add_parser("search", help="R2's random search; a killed one resumes")
    command.add_argument("name", nargs="?", default="mnist-conv-6", help="the network searched")
    command.add_argument("--draws", type=int, default=35, help="points of the 19 x 19 grid")
    command.add_argument(
        "--also", type=point, nargs="+", default=[], metavar="RATE:L2",
        help="only these points, added to the table of the search that was done",
    )  # fmt: skip
    command.add_argument("--folds", type=int, default=4)
    command.add_argument("--epochs", type=int, default=15, help="15 in R2's code, 40 in its text")
    command.add_argument("--batch", type=int, default=512, help="R2's, whatever the recipe's is")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--bf16", action="store_true", help=BF16)
    command.add_argument("--halving", action="store_true", help="all epochs for the better only")
    command.add_argument("--processes", type=int, help="one by one, so many at once")
    command.add_argument(
        "--together", metavar="DEVICE", nargs="?", const="cuda",
        help="as ensembles on that device; on a GPU where there is one, on a CPU that has AVX-512 "
        "and a compiler if the network is convolutional, and else in two processes",
    )  # fmt: skip
    command.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    command.add_argument("--data", metavar="ROOT", help="folder of the data sets")
    command.add_argument(
        "--results", type=Path, default=figures.RESULTS, help="where it is written"
    )
    command.set_defaults(run=_search)


def point(words: str) -> Point:
    """The point of the grid that RATE:L2 names.

    Raises:
        ArgumentTypeError: it is not two numbers above 0.
    """
    try:
        lr, l2 = map(float, words.split(":"))
    except ValueError:
        lr = l2 = 0.0
    if lr <= 0 or l2 <= 0:
        raise argparse.ArgumentTypeError(f"{words!r} is not RATE:L2, such as 0.004:2e-5")
    return Point(lr, l2)


def _device(base: Recipe, options: argparse.Namespace) -> str:
    """Where the networks of a search are trained together; empty if they are not."""
    if options.together or options.processes:
        return options.together or ""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = data.load(base.data, data.root(options.data)).shape
    return device if ensemble.pays(base, shape, device) else ""


def _search(options: argparse.Namespace, console: Console) -> None:
    base = recipes.named(options.name)
    wanted = Search(
        replace(base, batch=options.batch, bf16=base.bf16 or options.bf16), options.draws,
        options.folds, options.epochs, options.seed, options.halving, "",
    )  # fmt: skip
    wanted = replace(wanted, device=_device(wanted.base, options))
    path = options.results / f"search-{options.name}.json"
    if options.also:
        _add(wanted, path, options, console)
        return
    rows = _run(wanted, options.runs / f"search-{options.name}", options, console)
    found = {
        "recipe": repr(wanted.base), "draws": wanted.draws, "folds": wanted.folds,
        "epochs": wanted.epochs, "seed": wanted.seed, "halving": wanted.halving,
        "points": _points(rows), **_kept(wanted, path),
    }  # fmt: skip
    figures.save(path, found)
    recipe = wanted.alone(Point(rows[0].lr, rows[0].l2))
    figures.save(path, found | {"winner": _alone(recipe, options, console)})


def _add(wanted: Search, path: Path, options: argparse.Namespace, console: Console) -> None:
    """Only the points of --also, and without halving; they keep a place of their own."""
    known = figures.stored(path)
    _check(wanted, known, path)
    same = wanted.epochs == known["epochs"]
    folder = f"search-{options.name}" if same else f"search-{options.name}-{wanted.epochs}"
    named = replace(wanted, draws=0, halving=False, also=tuple(options.also))
    rows = _points(_run(named, options.runs / folder, options, console))
    anew = {(row["lr"], row["l2"], row["epochs"]) for row in rows}
    # Read again: another process may have come to its end meanwhile.
    known = figures.stored(path)
    kept = [row for row in known.get("also", ())
            if (row["lr"], row["l2"], row["epochs"]) not in anew]  # fmt: skip
    figures.save(path, known | {"also": [*kept, *rows]})


def _check(wanted: Search, known: Mapping[str, Any], path: Path) -> None:
    """Whether points of `wanted` are comparable to those known, but for their epochs.

    Raises:
        TrainingError: they are not, or nothing is known.
    """
    if "winner" not in known:
        raise TrainingError(f"{path} has no search to add a point to: search without --also first")
    best = Point(known["points"][0]["lr"], known["points"][0]["l2"])
    ours = (repr(replace(wanted, epochs=known["epochs"]).alone(best)), wanted.folds, wanted.seed)
    theirs = (known["winner"]["recipe"], known["folds"], known["seed"])
    if ours != theirs:
        raise TrainingError(
            f"{path} is of another search, of {theirs[0]}, {theirs[1]} folds and seed {theirs[2]}: "
            "a point beside it has to be of the same"
        )


def _kept(wanted: Search, path: Path) -> dict[str, Any]:
    """The named points of an earlier run of the same search."""
    known = figures.stored(path)
    try:
        _check(wanted, known, path)
    except TrainingError:
        return {}
    return {"also": known["also"]} if "also" in known else {}


def _points(rows: list[Result]) -> list[dict[str, Any]]:
    return [{**asdict(row), "mean": row.mean} for row in rows]


def _run(
    wanted: Search, folder: Path, options: argparse.Namespace, console: Console
) -> list[Result]:
    """Does what is left of a search, and shows how far it is and its table."""
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

        def told(done: int, total: int, outcome: Outcome | None) -> None:
            nonlocal best
            best = min(best, outcome.loss if outcome else best)
            bar.update(task, completed=done, total=total, best=best)

        rows = search.run(
            wanted, data.root(options.data), folder, processes=options.processes or 2, progress=told
        )
    table = Table(title=f"{options.name}: loss after the last epoch, mean of {wanted.folds} folds")
    for name in ("rate", "L2", "epochs", "mean", "spread", "died"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row.lr:g}", f"{row.l2:g}", str(row.epochs), f"{row.mean:.5f}", f"{row.spread:.5f}",
            f"{row.died} of {wanted.folds}" if row.died else "",
        )  # fmt: skip
    console.print(table)
    return rows


def _alone(recipe: Recipe, options: argparse.Namespace, console: Console) -> dict[str, object]:
    """The best point once more by the ordinary loop, on all folds; its test error is seen once."""
    dataset = data.load(recipe.data, data.root(options.data))
    run = progress.trained(recipe, dataset, console, seed=options.seed)
    best = min(entry["mse"] for entry in run.history)
    test, _ = loop.score(recipe, run.net, dataset.test)
    console.print(
        f"the best alone, on all folds: rate {recipe.optimiser.lr:g}, {run.epochs} epochs, "
        f"{run.seconds:.0f} s: validation MSE {best:.5f}, test {test:.5f}"
    )
    return {"epochs": run.epochs, "validation": best, "test": test, "recipe": repr(recipe)}
