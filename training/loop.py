"""The training loop: the set on the device, a batch an index, nothing waited for within an epoch.

Every epoch draws its order and noise from generators named by seed, purpose and epoch, so that a
run resumed from the checkpoint of an epoch goes on exactly as it would have.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training import losses, pca
from training.corruption import learnt_from, shifted
from training.data import Dataset, Images
from training.errors import DeadRun, TrainingError
from training.initialise import build, standardise
from training.networks import Autoencoder, Pca, Shape
from training.recipes import Recipe
from training.seeds import generator, named

log = logging.getLogger(__name__)

_PATIENCE = 5
# Times a constant image's error: a network that adds no constants may grow without bound.
_RUNAWAY = 100.0
VALIDATION_BATCH = 1000

# Called with the epoch, the images seen of it, and a function that gives the loss so far; asking
# for the loss waits for the device, so a reporter asks seldom.
Report = Callable[[int, int, Callable[[], float]], None]

# Called after each epoch with its number and the network as it stands; must not change either.
Watch = Callable[[int, Autoencoder], None]


@dataclass
class Trained:
    """A network with its best weights, and how it came by them; in an ensemble, why it died."""

    net: Autoencoder
    epochs: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    died: str = ""


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Report | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Trains `recipe` and gives the weights that were best on the validation images.

    An interrupt (Ctrl-C) ends the training and keeps the best weights so far. `checkpoint` is
    written after each epoch, and read first if it is of the same recipe, seed and data.

    Raises:
        DataError: too few images.
        DeadRun: the loss is not a number, or stays where a constant image would be.
    """
    run = _Run(recipe, dataset, seed, device)
    if checkpoint is not None:
        run.resume(checkpoint)
    try:
        if isinstance(recipe.net, Pca):
            run.solve()
        while run.epoch < recipe.epochs:
            run.advance(report)
            if watch is not None:
                watch(run.epoch, run.net)
            if checkpoint is not None:
                run.save(checkpoint)
    except KeyboardInterrupt:
        log.warning("interrupted in epoch %d; keeping the best weights so far", run.epoch + 1)
        run.interrupted = True
        with contextlib.suppress(DeadRun):
            run.validate()
    return run.finish()


def restore(
    recipe: Recipe, dataset: Dataset, checkpoint: Path, *, seed: int = 0, device: str = "cpu"
) -> Trained:
    """The best weights of a checkpoint, without training any further.

    Raises:
        TrainingError: there is no checkpoint of that recipe, seed and data.
    """
    run = _Run(recipe, dataset, seed, device)
    run.resume(checkpoint)
    if not run.best:
        raise TrainingError(
            f"{recipe.name} has not been trained with seed {seed} as its recipe now stands: "
            f"`python -m training train {recipe.name} --seed {seed}`"
        )
    return run.finish()


class _Run:
    def __init__(self, recipe: Recipe, dataset: Dataset, seed: int, device: str) -> None:
        self.recipe, self.seed, self.device = recipe, seed, torch.device(device)
        parts = recipe.split(dataset)
        self.train, self.validation = (
            Images(p.pixels.to(self.device), p.labels.to(self.device)) for p in parts
        )
        self.net = first(recipe, self.train, dataset.shape, seed)
        self.optimiser = recipe.optimiser(self.net.parameters())
        self.epoch = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.interrupted = False
        self.constant_mse = constant_mse(self.validation)
        self.identity = identity(recipe, seed, dataset)

    def advance(self, report: Report | None) -> None:
        """One epoch and its validation."""
        started = time.perf_counter()
        recipe, net = self.recipe, self.net
        count = len(self.train) * recipe.cut.of_each
        order = torch.randperm(count, generator=generator(self.seed, "order", self.epoch))
        order = (order % len(self.train)).to(self.device)
        noise = generator(self.seed, "noise", self.epoch, self.device)
        # Dropout takes no generator of its own.
        torch.manual_seed(named(self.seed, "dropout", self.epoch))
        past = [entry["loss"] for entry in self.history]
        total = torch.zeros((), device=self.device)
        net.train()
        for start in range(0, count, recipe.batch):
            index = order[start : start + recipe.batch]
            done = (self.epoch + start / count) / recipe.epochs
            for group in self.optimiser.param_groups:
                group["lr"] = recipe.optimiser.lr * recipe.schedule(done, past)
            clean = shifted(recipe.cut(self.train, index, noise), recipe.shift, noise)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
                noisy = learnt_from(recipe.corruption, clean, index, noise, self.seed)
                output = net(noisy, noise)
            mse, kl = losses.terms(output, clean)
            weight = min(1.0, done / recipe.kl_warmup) if recipe.kl_warmup else 1.0
            loss = mse + recipe.kl * weight * kl
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if math.isfinite(recipe.clip):
                torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            self.optimiser.step()
            total += loss.detach() * len(index)
            if report is not None:
                seen = start + len(index)
                report(self.epoch, seen, partial(_mean, total, seen))
        self.epoch += 1
        self.validate(float(total) / count)
        self.seconds += time.perf_counter() - started
        self.history[-1] |= {"seconds": self.seconds, "threads": torch.get_num_threads()}

    def solve(self) -> None:
        """Principal components, which need no epochs."""
        started = time.perf_counter()
        pca.fill(self.net, self.train)
        self.validate()
        self.seconds = time.perf_counter() - started

    def validate(self, train_loss: float = math.nan) -> None:
        """Scores the weights as they are on the validation images, and keeps them if best.

        Raises:
            DeadRun: see `train`.
        """
        mse, kl = score(self.recipe, self.net, self.validation)
        loss = mse + self.recipe.kl * kl
        self.history.append(
            {"epoch": self.epoch, "train": train_loss, "loss": loss, "mse": mse, "kl": kl}
        )
        if loss < self.best_loss:
            self.best_loss = loss
            self.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        died = verdict(self.recipe, self.history, self.constant_mse)
        if died:
            raise DeadRun(died)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": self.identity,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "history": self.history,
            "best": self.best,
            "best_loss": self.best_loss,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        unfinished = path.with_suffix(".partial")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            log.warning("%s cannot be read (%s); starting anew", path, error)
            return
        if state.get("identity") != self.identity:
            log.warning("%s is of another recipe, seed or data; starting anew", path)
            return
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.history, self.best = state["history"], state["best"]
        self.best_loss = state["best_loss"]
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        log.info("resumed %s after epoch %d", self.recipe.name, self.epoch)

    def finish(self) -> Trained:
        self.net.load_state_dict(self.best)
        self.net.eval()
        return Trained(self.net, self.epoch, self.seconds, self.history, self.interrupted)


def identity(recipe: Recipe, seed: int, dataset: Dataset) -> str:
    """What a checkpoint must be of to be gone on with."""
    words = f"{recipe!r} {seed} {sorted(dataset.digests.items())}"
    return hashlib.sha256(words.encode()).hexdigest()


def first(recipe: Recipe, train: Images, shape: Shape, seed: int) -> Autoencoder:
    """The network before its first step, on the device of the images."""
    device = train.pixels.device
    net = build(recipe.net, shape, recipe.init, named(seed, "init"))
    # Images are stored channels last; weights to match: 3,900 images/s against 3,250 on R3's
    # network (1 core, batch 64), and 1,700 with both channels first.
    net = net.to(memory_format=torch.channels_last).to(device)
    if recipe.init == "data":
        clean = train.batch(slice(0, 512))
        noisy = recipe.corruption(clean, generator(seed, "init", device=device))
        standardise(net, noisy, float(clean.mean()))
    return net


def verdict(recipe: Recipe, history: Sequence[dict[str, float]], constant: float) -> str:
    """Why a run of that history is dead, `constant` being a constant image's error; else empty."""
    epoch, loss = history[-1]["epoch"], history[-1]["loss"]
    if not math.isfinite(loss):
        return (
            f"{recipe.name}: the validation loss of epoch {epoch} is {loss}; "
            "try a lower rate or a warm-up"
        )
    if not constant:  # of a single image the constant one is itself
        return ""
    if history[-1]["mse"] > _RUNAWAY * constant:
        return (
            f"{recipe.name}: the error of epoch {epoch} is {history[-1]['mse']:.2g}, that of one "
            f"constant image {constant:.2g}: it ran away; try a lower rate, or `clip`"
        )
    # A warm-up may take its time, hence a quarter of the run.
    patience = max(_PATIENCE, recipe.epochs // 4)
    recent = [entry["mse"] for entry in history[-patience:]]
    if len(recent) == patience and min(recent) > 0.98 * constant:
        return (
            f"{recipe.name}: for {patience} epochs the error has been {min(recent):.4f}, "
            f"that of one constant image ({constant:.4f}); try another "
            "initialisation, seed or warm-up"
        )
    return ""


def _mean(total: Tensor, count: int) -> float:
    return float(total) / count


@torch.no_grad()
def score(recipe: Recipe, net: Autoencoder, images: Images) -> tuple[float, float]:
    """The mean squared error and the KL divergence per pixel, under the recipe's corruption.

    Noise and latents are drawn from the same fixed seed every time, so that epochs compare.
    """
    net.eval()
    device = images.pixels.device
    noise = generator(0, "validation", device=device)
    totals = torch.zeros(2, device=device)
    for part in images.slices(VALIDATION_BATCH):
        clean = images.batch(part)
        terms = losses.terms(net(recipe.corruption(clean, noise), noise), clean)
        totals += torch.stack(terms) * len(clean)
    mse, kl = (totals / len(images)).tolist()
    return mse, kl


def constant_mse(images: Images) -> float:
    """The lower of what the mean image and an all-black one score: a dead network's level."""
    x_BCHW = images.batch(slice(0, 5000))
    return min(float(x_BCHW.var(0, correction=0).mean()), float(x_BCHW.square().mean()))
