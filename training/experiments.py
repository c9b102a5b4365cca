"""The commands beside training: search, replicate, readings, sweep, baselines, figures, report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.status import Status

from service import manifest
from service.manifest import FILE, Manifest
from training import (
    baselines,
    cards,
    data,
    drawings,
    figures,
    loop,
    maps,
    progress,
    readings,
    recipes,
    replicas,
    report,
    searching,
    sweep,
)
from training.errors import TrainingError
from training.recipes import Recipe


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the commands; each sets `run`, to be called with the options and a console."""
    searching.add(commands)
    replicating = commands.add_parser(
        "replicate", help="the reports' networks by their own settings"
    )
    replicating.add_argument(
        "names", nargs="*", metavar="NAME", help="recipes of reports, or NAME@READING, else all"
    )
    replicating.add_argument("--seed", type=int, nargs="+", default=[0], help="one or more")
    replicating.add_argument("--again", action="store_true", help="what is known already too")
    replicating.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    replicating.add_argument("--threads", type=int, default=1)
    replicating.set_defaults(run=_replicate)
    reading = commands.add_parser(
        "readings", help="what else the reports can be read to mean, where nothing is to be trained"
    )
    reading.add_argument("--models", type=Path, default=data.CHECKOUT / "models")
    reading.add_argument("--again", action="store_true", help="what is known already too")
    reading.add_argument("--threads", type=int, default=1)
    reading.set_defaults(run=_readings)
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
    writing.add_argument("--results", type=Path, default=figures.RESULTS, help="JSON and figures")
    writing.add_argument("--out", type=Path, default=data.CHECKOUT / "docs" / "reproduction.md")
    writing.set_defaults(run=_report)
    for each in (sweeping, drawing):
        each.add_argument("names", nargs="*", metavar="NAME", help="published models, else all")
        each.add_argument("--again", action="store_true", help="what is there already too")
        each.add_argument("--models", type=Path, default=data.CHECKOUT / "models")
        each.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    for each in (replicating, reading, sweeping, comparing, drawing):
        each.add_argument("--data", metavar="ROOT", help="folder of the data sets")
        each.add_argument(
            "--results", type=Path, default=figures.RESULTS, help="where it is written"
        )


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
        dataset = data.load(replicas.REPLICAS[name].data, data.root(options.data))

        def trained(
            recipe: Recipe, seed: int, name: str = name, dataset: data.Dataset = dataset
        ) -> loop.Trained:
            folder = options.runs / f"{name.replace('@', '-')}-replica-{seed}"
            checkpoint = folder / "checkpoint.pt"
            return progress.trained(recipe, dataset, console, seed=seed, checkpoint=checkpoint)

        found = replicas.replicate(name, dataset, options.seed, trained)
        # Read again: another process may have come to its end meanwhile.
        figures.save(path, figures.stored(path) | {name: found})
        values = found["rows"][0]["values"] if len(found["died"]) < len(options.seed) else "died"
        console.print(f"{name}: {values}")


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
        figures.save(path, measured)
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
    figures.save(options.results / figures.HISTORIES, histories)
    for source in sorted({figure.report for figure in wanted}):
        figures.losses(source, histories, options.results)
    measured = figures.stored(options.results / figures.NOISE)
    everything = [manifest.read(path.parent) for path in options.models.glob("*/1/model.json")]
    for name in sorted({card.dataset for card in everything}):
        figures.latents(name, everything, options.results)
        figures.noise(name, measured, options.results)


def _baselines(options: argparse.Namespace, console: Console) -> None:
    path = options.results / baselines.FILE
    figures.save(path, baselines.measure_all(data.root(options.data)))
    console.print(str(path))


def _readings(options: argparse.Namespace, console: Console) -> None:
    path = options.results / readings.FILE
    known = {} if options.again else figures.stored(path)
    figures.save(path, readings.measure_all(options.models, data.root(options.data), known))
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
