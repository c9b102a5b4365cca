"""Ways to train one network, side by side, and how near they come to what the processor can do.

    python -m benchmarks.training                   everything: about 20 minutes of a quiet machine
    python -m benchmarks.training --only dense      measured again, the rest is kept
    python -m benchmarks.training --only            the page again, from what is known

Writes benchmarks/training.json and docs/benchmarks-training.md. All train the same architecture
with Adam at a constant rate, on as many images, seed by seed; they take turns, and each round is
one seed. pythae gets an environment of its own under `.benchmarks/`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks import training_page
from benchmarks.environment import commit, processor
from benchmarks.payloads import ROOT
from benchmarks.ways import MANY, WAYS, Task
from service import cores
from training import data, loop, recipes

FIGURES = ROOT / "benchmarks" / "training.json"
PAGE = ROOT / "docs" / "benchmarks-training.md"
# R2's test error at 6 latents, after 80 epochs.
R2_ERROR, R2_EPOCHS = 0.02076, 80
_SIDE, _SECONDS = 1024, 2.0


@dataclass(frozen=True)
class Part:
    """A network or many, and how much is done: the batch, images an epoch, epochs, rounds."""

    network: str
    batch: int
    images: int
    epochs: int
    seeds: int = 5
    threads: int = 1
    networks: int = 1

    def task(self, seed: int, root: Path) -> Task:
        """One round of it."""
        return Task(
            self.network, self.batch, self.images, self.epochs, seed, root, self.threads,
            self.networks,
        )  # fmt: skip


_CORES = cores.usable()
PARTS = {
    "convolutional": Part("mnist-conv-6", 512, 24_576, 3),
    "dense": Part("mnist-mlp-8", 2048, 24_576, 3),
    # As somebody trains who waits for it: an epoch of the report's whole training set.
    "convolutional-all-cores": Part("mnist-conv-6", 512, 48_000, 1, 3, _CORES),
    "dense-all-cores": Part("mnist-mlp-8", 2048, 48_000, 1, 3, _CORES),
}
# As a search trains them: R2's folds too have three images to learn from for one kept apart.
MANY_PARTS = {
    "many-8": Part("mnist-conv-6", 512, 6_144, 4, 3, networks=8),
    "many-140": Part("mnist-conv-6", 512, 6_144, 1, 1, networks=140),
}
PARTS |= MANY_PARTS
# Whole runs: to R2's number, and R4's 50 epochs.
RUNS = ("number", "fifty")
RATES = "rates"
Figures = dict[str, Any]


def rates() -> Figures:
    """The best rate of square matrix products on one thread, in operations a second."""
    found = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(_SIDE, _SIDE).to(kind) for _ in range(2))
        best, ends = float("inf"), time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            started = time.process_time()
            a @ b
            best = min(best, time.process_time() - started)
        found[str(kind).removeprefix("torch.")] = 2 * _SIDE**3 / best
    return found


def side_by_side(part: Part, root: Path) -> Figures:
    """Images a second of each way, and its error after as many epochs, seed by seed."""
    ways = WAYS if part.networks == 1 else MANY
    found: Figures = {name: {"speeds": [], "errors": []} for name in ways}
    for seed in range(part.seeds):
        task = part.task(seed, root)
        for name, way in ways.items():
            if "missing" in found[name]:
                continue
            try:
                measured = way(task)
            except RuntimeError as error:
                found[name] = {"missing": str(error)}
                continue
            found[name]["speeds"].append(measured.images / measured.seconds)
            found[name]["errors"].append(measured.mse)
            print(f"{part.network}, seed {seed}: {name}: {found[name]['speeds'][-1]:,.0f} images/s")
    operations = part.task(0, root).operations()
    return {"part": asdict(part), "operations": operations, "ways": found}


def number(root: Path) -> Figures:
    """Seconds of one thread until R2's network is as good as the report's."""
    recipe = replace(recipes.named("mnist-conv-6"), epochs=20, bf16=True)
    dataset = data.load(recipe.data, root)
    run = loop.train(recipe, dataset)
    there = [entry for entry in run.history if entry["mse"] <= R2_ERROR]
    mse, _ = loop.score(recipe, run.net, dataset.test)
    return {
        "epochs": there[0]["epoch"] if there else None,
        "seconds": there[0]["seconds"] if there else None,
        "of": run.epochs, "whole": run.seconds, "test": mse, "report": R2_ERROR,
        "report_images": R2_EPOCHS * len(recipe.split(dataset)[0]),
    }  # fmt: skip


def fifty(root: Path) -> Figures:
    """R4's 50 epochs on all cores, in bfloat16."""
    recipe = replace(recipes.named("mnist-mlp-8"), bf16=True)
    dataset = data.load(recipe.data, root)
    torch.set_num_threads(_CORES)
    run = loop.train(recipe, dataset, seed=17)
    torch.set_num_threads(1)
    mse, _ = loop.score(recipe, run.net, dataset.test)
    images = recipe.epochs * len(recipe.split(dataset)[0])
    return {"seconds": run.seconds, "epochs": run.epochs, "images": images, "test": mse,
            "threads": _CORES}  # fmt: skip


def main() -> None:
    """Measures, keeps the figures and writes the page."""
    everything = (RATES, *PARTS, *RUNS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="*", choices=everything, default=list(everything))
    parser.add_argument("--data", metavar="ROOT")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--images", type=int, help="an epoch, to try the command")
    parser.add_argument("--seeds", type=int, help="rounds, to try the command")
    options = parser.parse_args()
    torch.set_num_threads(1)
    root = data.root(options.data)
    known: Figures = json.loads(options.figures.read_text()) if options.figures.exists() else {}
    for name in everything:
        if name not in options.only:
            continue
        if name == RATES:
            found = rates()
        elif name in PARTS:
            part = PARTS[name]
            images, seeds = options.images or part.images, options.seeds or part.seeds
            found = side_by_side(replace(part, images=images, seeds=seeds), root)
            torch.set_num_threads(1)
        else:
            found = {"number": number, "fifty": fifty}[name](root)
        known[name] = found | {
            "load": os.getloadavg()[0], "date": date.today().isoformat(), "commit": commit(),
            "processor": processor(), "torch": torch.__version__,
        }  # fmt: skip
        options.figures.write_text(json.dumps(known, indent=1) + "\n")
    options.out.write_text(training_page.write(known))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
