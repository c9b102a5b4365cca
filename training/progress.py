"""The bar of one training on the terminal."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.data import Dataset
from training.loop import Report, Trained, Watch, train
from training.recipes import Recipe

_REFRESH = 0.5


def trained(
    recipe: Recipe,
    dataset: Dataset,
    console: Console,
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    watch: Watch | None = None,
) -> Trained:
    """`loop.train` under a bar of its own."""
    images = len(recipe.split(dataset)[0]) * recipe.cut.of_each
    with _bar(console) as progress:
        report = _reporter(progress, recipe, seed, images)
        return train(
            recipe, dataset, seed=seed, device=device, checkpoint=checkpoint, report=report,
            watch=watch,
        )  # fmt: skip


def _bar(console: Console) -> Progress:
    """Epoch, loss, images a second and the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]}  loss {task.fields[loss]:.5f}"),
        TextColumn("{task.fields[rate]:,.0f} images/s"),
        TimeRemainingColumn(),
        console=console,
    )


def _reporter(progress: Progress, recipe: Recipe, seed: int, images: int) -> Report:
    """Moves the bar at most twice a second: to ask for the loss is to wait for the device."""
    task = progress.add_task(
        f"{recipe.name} seed {seed}", total=recipe.epochs * images, epoch="-", loss=float("nan"),
        rate=0.0,
    )  # fmt: skip
    started = last = time.perf_counter()
    first: int | None = None

    def report(epoch: int, seen: int, loss: object) -> None:
        nonlocal last, first
        done = epoch * images + seen
        if first is None:
            first = done
        now = time.perf_counter()
        if now - last < _REFRESH and seen < images:
            return
        last = now
        assert callable(loss)
        progress.update(
            task,
            completed=done,
            epoch=f"{epoch + 1}/{recipe.epochs}",
            loss=loss(),
            rate=(done - first) / max(now - started, 1e-9),
        )

    return report
