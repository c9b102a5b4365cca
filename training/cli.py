"""The command line of training.

python -m training list | train | evaluate | export | classify | search | replicate | readings |
sweep | baselines | figures | report
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress
from rich.table import Table

from service.errors import AutoencoderError
from service.manifest import Manifest, Score, read
from training import (
    data,
    ensemble,
    experiments,
    processes,
    recipes,
    searching,
    snapshots,
    suitable,
)
from training.classify import CLASSIFIERS, can_classify, classify
from training.errors import TrainingError
from training.loop import Trained, restore
from training.members import Member
from training.networks import Pca, Shape
from training.progress import trained
from training.publish import publish
from training.recipes import RECIPES, Recipe


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(show_path=False)])
    logging.getLogger("training").setLevel(logging.INFO)
    torch.set_num_threads(options.threads)
    try:
        if options.command == "list":
            _list(console)
        elif "run" in options:
            options.run(options, console)
        elif options.command == "classify":
            _classify(options, console)
        else:
            _train(options, console)
    except (TrainingError, AutoencoderError) as error:
        console.print(f"[red]error:[/red] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        # Within the training loop an interrupt keeps the best; here there is nothing to keep.
        console.print("interrupted; `train` resumes where the last epoch ended")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.set_defaults(threads=2)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every recipe, one line each")
    experiments.add(commands)
    for name, text in (
        ("train", "train, export, score and publish models; a killed run resumes"),
        ("evaluate", "score and publish again what was trained"),
        ("export", "the same: a model is never exported without being scored"),
        ("classify", "train classifiers on the latents of published models"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", metavar="NAME", help="recipes, as in `list`")
        command.add_argument("--all", action="store_true", help="every recipe")
        command.add_argument(
            "--data", metavar="ROOT", help="folder of the data sets, or folder:PATH of pictures"
        )
        command.add_argument("--models", type=Path, default=data.CHECKOUT / "models")
        command.add_argument(
            "--threads", type=int, default=2,
            help="of one training; 1 is faster where other programs want the cores",
        )  # fmt: skip
        if name == "classify":
            kinds = [kind.name for kind in CLASSIFIERS]
            command.add_argument("--classifier", nargs="+", choices=kinds, help="not all of them")
            command.add_argument(
                "--seed", type=int, nargs="+", default=[0],
                help="one or more; the best on validation is published",
            )  # fmt: skip
        else:
            _add_making(command)
        if name == "train":
            command.add_argument(
                "--processes", type=int,
                help="models trained at once, each on one thread; with --all one a core",
            )  # fmt: skip
            command.add_argument(
                "--together", action="store_true",
                help="all seeds, or the one, as an ensemble, where the network allows it: faster "
                "on a GPU and, of convolutions, on a CPU; keeps no outputs of the epochs; --all "
                "does so where it pays",
            )  # fmt: skip
    return parser


def _add_making(command: argparse.ArgumentParser) -> None:
    """What decides which network is trained, and where."""
    command.add_argument("--name", help="publish under another name (one recipe only)")
    command.add_argument("--latents", type=int, help="in place of the recipe's own; with --name")
    command.add_argument("--epochs", type=int, help="in place of the recipe's own")
    command.add_argument("--bf16", action="store_true", help=searching.BF16)
    command.add_argument(
        "--seed", type=int, nargs="+", default=[0],
        help="one or more; with several, the best on validation is published",
    )  # fmt: skip
    command.add_argument("--runs", type=Path, default=data.CHECKOUT / "runs")
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def _list(console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("name", "data", "source", "epochs", "what it is"):
        table.add_column(column, no_wrap=column == "name")
    for recipe in RECIPES:
        table.add_row(recipe.name, recipe.data, recipe.source, str(recipe.epochs), recipe.summary)
    console.print(table)


def _chosen(options: argparse.Namespace) -> list[Recipe]:
    """The recipes named, changed as the other options say."""
    folder = options.data if (options.data or "").startswith("folder:") else None
    trainable = [r for r in RECIPES if folder or r.data != data.OWN_PICTURES]
    chosen = trainable if options.all else [recipes.named(n) for n in options.names]
    if not chosen:
        raise TrainingError("name one recipe or more, or say --all")
    if options.name and len(chosen) > 1:
        raise TrainingError("--name takes one recipe")
    if options.latents is not None:
        if not options.name:
            raise TrainingError("--latents makes another model: say how it is called by --name")
        chosen = [recipes.with_latents(recipe, options.latents) for recipe in chosen]
    changes = {
        key: value
        for key, value in (
            ("data", folder), ("name", options.name), ("epochs", options.epochs),
            ("bf16", options.bf16),
        )
        if value
    }  # fmt: skip
    return [replace(recipe, **changes) for recipe in chosen]


def _train(options: argparse.Namespace, console: Console) -> None:
    chosen = _chosen(options)
    folder = (options.data or "").startswith("folder:")
    where = data.root(None if folder else options.data)
    shapes: dict[str, Shape] = {}
    # All of them are read before any is trained: an error at 3 a.m. helps nobody.
    for name, tile in dict.fromkeys((recipe.data, recipe.cut.tile) for recipe in chosen):
        dataset = data.load(name, where, tile=tile)
        for recipe in chosen:
            if (recipe.data, recipe.cut.tile) == (name, tile):
                suitable.check(recipe, dataset)
                shapes[recipe.name] = dataset.shape
    cores = (os.cpu_count() or 1) if options.all and options.device == "cpu" else 1
    at_once = min(len(chosen), getattr(options, "processes", 1) or cores)
    if at_once > 1:
        _train_over_processes(chosen, shapes, at_once, options, console)
        return
    for recipe in chosen:
        dataset = data.load(recipe.data, where, tile=recipe.cut.tile)
        runs: dict[int, Trained] = {}
        if getattr(options, "together", False):
            runs = _train_together(recipe, dataset, options, console)
        for seed in options.seed if not runs else ():
            runs[seed] = _train_one(recipe, dataset, seed, options, console)
            if runs[seed].interrupted:
                break
        published = publish(recipe, runs, dataset, options.models, device=options.device)
        _show(read(published), console)
        if any(run.interrupted for run in runs.values()):
            break


def _train_over_processes(
    chosen: Sequence[Recipe],
    shapes: Mapping[str, Shape],
    at_once: int,
    options: argparse.Namespace,
    console: Console,
) -> None:
    """Each model by a command of its own; one that fails does not keep the others from theirs."""
    costs = processes.longest_first((recipe.name for recipe in chosen), options.models)
    together = {
        recipe.name
        for recipe in chosen
        if ensemble.fits(recipe, shapes[recipe.name])
        and (options.together or ensemble.pays(recipe, shapes[recipe.name], options.device))
    }
    same = ["--models", str(options.models), "--runs", str(options.runs), "--threads", "1",
            "--device", options.device, "--seed", *map(str, options.seed)]  # fmt: skip
    same += ["--data", options.data] if options.data else []
    same += ["--epochs", str(options.epochs)] if options.epochs else []
    same += ["--bf16"] if options.bf16 else []
    same += ["--processes", "1"]
    jobs = {
        name: ["train", name, *same, *(["--together"] if name in together else [])]
        for name in costs
    }
    logs, failed, started = options.runs / "logs", [], time.monotonic()
    with Progress(console=console) as progress:
        task = progress.add_task(f"{len(jobs)} models", total=sum(costs.values()) or None)
        for name, status in processes.run(main, jobs, logs, at_once):
            progress.advance(task, costs[name])
            console.print(f"{name}: " + (f"failed, see {logs / name}.log" if status else "done"))
            failed += [name] if status else []
    minutes = (time.monotonic() - started) / 60
    console.print(f"{len(jobs) - len(failed)} of {len(jobs)} models in {minutes:.1f} minutes")
    if failed:
        raise TrainingError(f"{len(failed)} of {len(jobs)} models failed: {', '.join(failed)}")


def _train_together(
    recipe: Recipe, dataset: data.Dataset, options: argparse.Namespace, console: Console
) -> dict[int, Trained]:
    """All seeds as one ensemble; those that died are left out, with a word."""
    members = [Member(recipe, seed) for seed in options.seed]
    with Progress(console=console) as progress:
        name = f"{recipe.name} seed {', '.join(map(str, options.seed))}"
        task = progress.add_task(name, total=recipe.epochs * len(members))
        runs = ensemble.train(
            members, dataset, device=options.device, checkpoints=options.runs / "together",
            report=lambda _member, _loss: progress.advance(task),
        )  # fmt: skip
    for member, run in zip(members, runs, strict=True):
        if run.died:
            console.print(f"seed {member.seed} left out: {run.died}")
    alive = {m.seed: run for m, run in zip(members, runs, strict=True) if not run.died}
    if not alive:
        raise TrainingError(runs[0].died)
    return alive


def _classify(options: argparse.Namespace, console: Console) -> None:
    names = options.names
    if options.all:
        published = [r.name for r in RECIPES if (options.models / r.name / "1").is_dir()]
        names = [name for name in published if can_classify(read(options.models / name / "1"))]
    if not names:
        raise TrainingError("name one published model or more, or say --all")
    for name in names:
        dataset = data.load(recipes.named(name).data, data.root(options.data))
        folder = classify(name, options.models, dataset, options.seed, options.classifier)
        _show(read(folder), console)


def _train_one(
    recipe: Recipe, dataset: data.Dataset, seed: int, options: argparse.Namespace, console: Console
) -> Trained:
    folder = options.runs / f"{recipe.name}-{seed}"
    checkpoint = folder / "checkpoint.pt"
    if options.command != "train" and not isinstance(recipe.net, Pca):
        return restore(recipe, dataset, checkpoint, seed=seed, device=options.device)
    watch = snapshots.keeper(dataset, recipe.corruption, folder)
    return trained(
        recipe, dataset, console, seed=seed, device=options.device, checkpoint=checkpoint,
        watch=watch,
    )  # fmt: skip


def _show(manifest: Manifest, console: Console) -> None:
    table = Table(title=f"{manifest.name}: {manifest.parameters:,} parameters", box=None)
    for column in ("subject", "task", "corruption", "protocol", "values", "note"):
        table.add_column(column)
    for score in manifest.scores:
        table.add_row(
            score.subject, score.task, score.corruption or "", score.protocol, _values(score),
            score.note,
        )  # fmt: skip
    console.print(table)


def _values(score: Score) -> str:
    spread = score.spread
    return "  ".join(
        f"{key} {value:.5g}" + (f"±{spread[key]:.2g}" if key in spread else "")
        for key, value in score.values.items()
    )
