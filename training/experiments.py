"""The commands beside training: search, replicate, sweep, baselines, figures and report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table

from service import manifest
from service.manifest import FILE, Manifest
from training import (
    baselines,
    cards,
    data,
    drawings,
    ensemble,
    figures,
    loop,
    maps,
    progress,
    recipes,
    replicas,
    report,
    search,
    sweep,
)
from training.errors import TrainingError
from training.recipes import Recipe
from training.trials import Outcome, Point

BF16 = "compute in bfloat16: faster on processors that have it (avx512_bf16, AMX) and on GPUs"
RESULTS = data.CHECKOUT / "docs" / "reproduction"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the commands; each sets `run`, to be called with the options and a console."""
    command = commands.add_parser("search", help="R2's random search; a killed one resumes")
    command.add_argument("name", nargs="?", default="mnist-conv-6", help="the network searched")
    command.add_argument("--draws", type=int, default=35, help="points of the 19 x 19 grid")
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
    command.set_defaults(run=_search)
    replicating = commands.add_parser(
        "replicate", help="the reports' networks by their own settings"
    )
    replicating.add_argument(
        "names", nargs="*", metavar="NAME", help="recipes of reports, else all"
    )
    replicating.add_argument("--seed", type=int, nargs="+", default=[0], help="one or more")
    replicating.add_argument("--again", action="store_true", help="what is known already too")
    replicating.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    replicating.add_argument("--threads", type=int, default=1)
    replicating.set_defaults(run=_replicate)
    sweeping = commands.add_parser("sweep", help="models over strengths of noise")
    sweeping.set_defaults(run=_sweep)
    comparing = commands.add_parser(
        "baselines", help="doing nothing and a linear filter, under the reports' own corruptions"
    )
    comparing.set_defaults(run=_baselines)
    drawing = commands.add_parser("figures", help="cards, maps and figures of the reports")
    drawing.set_defaults(run=_figures)
    writing = commands.add_parser("report", help="docs/reproduction.md from what was measured")
    writing.add_argument("--models", type=Path, default=data.CHECKOUT / "models")
    writing.add_argument("--results", type=Path, default=RESULTS, help="JSON and figures")
    writing.add_argument("--out", type=Path, default=data.CHECKOUT / "docs" / "reproduction.md")
    writing.set_defaults(run=_report)
    for each in (sweeping, drawing):
        each.add_argument("names", nargs="*", metavar="NAME", help="published models, else all")
        each.add_argument("--again", action="store_true", help="what is there already too")
        each.add_argument("--models", type=Path, default=data.CHECKOUT / "models")
        each.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    for each in (command, replicating, sweeping, comparing, drawing):
        each.add_argument("--data", metavar="ROOT", help="folder of the data sets")
        each.add_argument("--results", type=Path, default=RESULTS, help="where it is written")


def _device(base: Recipe, options: argparse.Namespace) -> str:
    """Where the networks of a search are trained together; empty if they are not."""
    if options.together or options.processes:
        return options.together or ""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = data.load(base.data, data.root(options.data)).shape
    return device if ensemble.pays(base, shape, device) else ""


def _search(options: argparse.Namespace, console: Console) -> None:
    base = recipes.named(options.name)
    wanted = search.Search(
        replace(base, batch=options.batch, bf16=base.bf16 or options.bf16), options.draws,
        options.folds, options.epochs, options.seed, options.halving, "",
    )  # fmt: skip
    wanted = replace(wanted, device=_device(wanted.base, options))
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

        folder = options.runs / f"search-{options.name}"
        rows = search.run(
            wanted, data.root(options.data), folder, processes=options.processes or 2, progress=told
        )
    path = options.results / f"search-{options.name}.json"
    found = {
        "recipe": repr(wanted.base), "draws": wanted.draws, "folds": wanted.folds,
        "epochs": wanted.epochs, "seed": wanted.seed, "halving": wanted.halving,
        "points": [{**asdict(row), "mean": row.mean} for row in rows],
    }  # fmt: skip
    save(path, found)
    table = Table(title=f"{options.name}: loss after the last epoch, mean of {wanted.folds} folds")
    for name in ("rate", "L2", "epochs", "mean", "spread", "died"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row.lr:g}", f"{row.l2:g}", str(row.epochs), f"{row.mean:.5f}", f"{row.spread:.5f}",
            f"{row.died} of {wanted.folds}" if row.died else "",
        )  # fmt: skip
    console.print(table)
    recipe = wanted.alone(Point(rows[0].lr, rows[0].l2))
    save(path, found | {"winner": _alone(recipe, options, console)})


def _replicate(options: argparse.Namespace, console: Console) -> None:
    path = options.results / replicas.FILE
    for name in options.names or replicas.REPLICAS:
        if name not in replicas.REPLICAS:
            raise TrainingError(
                f"{name} has no settings of a report: {', '.join(replicas.REPLICAS)} have"
            )
        known = figures.stored(path).get(name)
        if replicas.current(known, name, options.seed) and not options.again:
            continue
        dataset = data.load(recipes.named(name).data, data.root(options.data))

        def trained(recipe: Recipe, seed: int, dataset: data.Dataset = dataset) -> loop.Trained:
            folder = options.runs / f"{recipe.name}-replica-{seed}"
            checkpoint = folder / "checkpoint.pt"
            return progress.trained(recipe, dataset, console, seed=seed, checkpoint=checkpoint)

        found = replicas.replicate(name, dataset, options.seed, trained)
        # Read again: another process may have come to its end meanwhile.
        save(path, figures.stored(path) | {name: found})
        values = found["rows"][0]["values"] if len(found["died"]) < len(options.seed) else "died"
        console.print(f"{name}: {values}")


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


def _sweep(options: argparse.Namespace, console: Console) -> None:
    path = options.results / figures.NOISE
    measured = figures.stored(path)
    for card, folder, dataset in _published(options, console):
        known = measured.get(card.name, {}).get("graphs") == sweep.graphs(card)
        if "denoise" not in card.abilities or (known and not options.again):
            continue
        if not options.names and not drawings.tested(card.name) and card.corruption is None:
            continue
        with console.status(card.name) as status:

            def told(std: float, status: Status = status, name: str = card.name) -> None:
                status.update(f"{name}: noise {std:g}")

            measured[card.name] = sweep.noise(folder, dataset, progress=told)
        save(path, measured)
        console.print(f"{card.name}: {len(measured[card.name]['levels'])} strengths of noise")


def _figures(options: argparse.Namespace, console: Console) -> None:
    histories = figures.stored(options.results / figures.HISTORIES)
    wanted = list(figures.figures())
    for card, folder, dataset in _published(options, console):
        cards.add(folder, dataset.test)
        maps.add(folder, dataset)
        kept = figures.history(options.runs / f"{card.name}-{card.provenance.seed}")
        if kept is not None:
            histories[card.name] = kept
        subject = drawings.open_subject(card.name, options.models, options.runs, dataset)
        for figure in wanted:
            drawn = options.results / figure.file
            known = drawn.exists() and drawn.stat().st_mtime > (folder / FILE).stat().st_mtime
            if figure.model == card.name and (options.again or not known):
                try:
                    console.print(str(figures.draw(figure, subject, options.results)))
                except TrainingError as error:
                    console.print(f"[yellow]left out:[/yellow] {error}")
    save(options.results / figures.HISTORIES, histories)
    for source in sorted({figure.report for figure in wanted}):
        figures.losses(source, histories, options.results)
    measured = figures.stored(options.results / figures.NOISE)
    everything = [manifest.read(path.parent) for path in options.models.glob("*/1/model.json")]
    for name in sorted({card.dataset for card in everything}):
        figures.latents(name, everything, options.results)
        figures.noise(name, measured, options.results)


def _baselines(options: argparse.Namespace, console: Console) -> None:
    path = options.results / baselines.FILE
    save(path, baselines.measure_all(data.root(options.data)))
    console.print(str(path))


def _report(options: argparse.Namespace, console: Console) -> None:
    report.write(options.models, options.results, options.out)
    console.print(str(options.out))


def _published(
    options: argparse.Namespace, console: Console
) -> Iterator[tuple[Manifest, Path, data.Dataset]]:
    """The models asked for, or all, with their data."""
    names = options.names or [recipe.name for recipe in recipes.RECIPES]
    loaded: dict[str, data.Dataset] = {}
    for name in names:
        folder = options.models / name / "1"
        if not folder.is_dir():
            console.print(f"[yellow]not trained yet:[/yellow] {name}")
            continue
        card = manifest.read(folder)
        if card.dataset not in loaded:
            # One at a time: coloured digits alone are 165 MB.
            loaded = {card.dataset: data.load(card.dataset, data.root(options.data))}
        yield card, folder, loaded[card.dataset]


def save(path: Path, content: object) -> None:
    """Writes JSON that a line-by-line diff can follow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
