"""Ways to train one network: the reports' own, a plain loop, pythae's trainer, and ours.

All start from the same weights with Adam at the same constant rate, and count the seconds that they
take, start and validation included: see `Task.clock`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import ToTensor

from benchmarks.payloads import ROOT
from training import data, ensemble, loop, recipes
from training.data import Dataset, Images, Split
from training.initialise import build
from training.loop import Trained
from training.members import Member
from training.networks import Autoencoder
from training.recipes import Recipe
from training.schedules import Adam, Constant
from training.seeds import named

MEMBERS = 2
# Apart from the training images, for the error at the end.
_KEPT = 2_000
PYTHAE = ROOT / ".benchmarks" / "pythae"
# With what they need beside torch, which is ours: of the same build, and 5 GB less.
_REQUIREMENTS = ("pythae==0.1.2", "cloudpickle", "imageio", "tqdm")


_whole = lru_cache(maxsize=1)(data.load)


@dataclass(frozen=True)
class Task:
    """A network to be trained: `images` an epoch, by a recipe of the table at half its rate.

    Of several `networks` each has a seed of its own.
    """

    name: str
    batch: int
    images: int
    epochs: int
    seed: int
    root: Path
    threads: int = 1
    networks: int = 1

    @property
    def seeds(self) -> list[int]:
        """The networks', the first of them the task's."""
        return [self.seed + 1000 * k for k in range(self.networks)]

    def clock(self) -> Callable[[], float]:
        """What counts seconds; from here on torch has that many threads.

        On one thread it is the processor's time, which other programs do not lengthen, a compiler's
        included. On several it is the wall's, of a machine that must be quiet: how well a way fills
        them is the point.
        """
        torch.set_num_threads(self.threads)
        return processor_time if self.threads == 1 else time.perf_counter

    @property
    def recipe(self) -> Recipe:
        chosen = recipes.named(self.name)
        return replace(
            chosen, epochs=self.epochs, optimiser=Adam(chosen.optimiser.lr / 2),
            schedule=Constant(), split=Split(_KEPT), shift=0, batch=self.batch,
        )  # fmt: skip

    def dataset(self) -> Dataset:
        """As many training images as the task says, and those kept apart."""
        whole = _whole(self.recipe.data, self.root)
        return replace(whole, train=whole.train[slice(0, self.images + _KEPT)])

    def network(self, dataset: Dataset) -> Autoencoder:
        """The network as all start with it, of torch's own layers."""
        net = build(self.recipe.net, dataset.shape, "torch", named(self.seed, "init"))
        for module in net.modules():
            # What a reader of the report would have written, not our faster layers.
            if isinstance(module, nn.Conv2d):
                module.__class__ = nn.Conv2d
            elif isinstance(module, nn.ConvTranspose2d):
                module.__class__ = nn.ConvTranspose2d
        return net

    def operations(self) -> int:
        """Floating-point operations of one image's step: multiplications and additions."""
        dataset = self.dataset()
        net, x_BCHW = self.network(dataset), dataset.train.batch(slice(0, 1))
        with FlopCounterMode(display=False) as counter:
            nn.functional.mse_loss(net(x_BCHW).images, x_BCHW).backward()  # type: ignore[no-untyped-call]
        return int(counter.get_total_flops())


@dataclass(frozen=True)
class Measured:
    """Images of all networks trained, seconds that it took, the first one's lowest error."""

    images: int
    seconds: float
    mse: float


Way = Callable[[Task], Measured]


def processor_time() -> float:
    """Seconds of this process, and of those that it has started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


class _Pictures(torch.utils.data.Dataset[Tensor]):
    """As torchvision's MNIST gives them with `ToTensor`, which the reports use."""

    def __init__(self, images: Images) -> None:
        self.pixels = images.pixels
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, place: int) -> Tensor:
        picture = self.pixels[place].squeeze(-1).numpy()
        tensor: Tensor = self.transform(Image.fromarray(picture))
        return tensor


def reports(task: Task) -> Measured:
    """As the reports do: a data loader, an image at a time, and the loss asked for at each step."""
    dataset = task.dataset()
    learn, _ = task.recipe.split(dataset)
    loader = DataLoader(_Pictures(learn), task.recipe.batch, shuffle=True)
    return _ordinary(task, dataset, lambda: loader, asks=True)


def plain(task: Task) -> Measured:
    """A loop without a data loader's work: tensors in memory, nothing else done for speed."""
    dataset = task.dataset()
    learn, _ = task.recipe.split(dataset)
    x_NCHW = floats(learn)

    def batches() -> Iterator[Tensor]:
        order_N = torch.randperm(len(x_NCHW))
        return (x_NCHW[index] for index in torch.split(order_N, task.recipe.batch))

    return _ordinary(task, dataset, batches, asks=False)


def floats(images: Images) -> Tensor:
    """All of them, [N,C,H,W] in [0, 1]."""
    return images.pixels.permute(0, 3, 1, 2).float().div(255).contiguous()


def _ordinary(
    task: Task, dataset: Dataset, batches: Callable[[], Iterable[Tensor]], *, asks: bool
) -> Measured:
    recipe, clock = task.recipe, task.clock()
    started = clock()
    torch.manual_seed(task.seed)
    net = task.network(dataset).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.optimiser.lr)
    running, errors = 0.0, []
    for _ in range(recipe.epochs):
        for x_BCHW in batches():
            loss = nn.functional.mse_loss(net(x_BCHW).images, x_BCHW)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            running += loss.item() if asks else 0.0
        errors.append(loop.score(recipe, net, recipe.split(dataset)[1])[0])
        net.train()
    return Measured(task.images * task.epochs, clock() - started, min(errors))


def pythae(task: Task) -> Measured:
    """The trainer of pythae, in a process of its environment.

    Raises:
        RuntimeError: it cannot be installed, or fails; the message is its last line.
    """
    python = _install()
    numbers = (task.batch, task.images, task.epochs, task.seed, task.threads)
    module = ("-W", "ignore", "-m", "benchmarks.peers.pythae_training")
    answer = _run([python, *module, task.name, *map(str, numbers), task.root])
    return Measured(**json.loads(answer.splitlines()[-1]))


def _install() -> Path:
    python = PYTHAE / "bin" / "python"
    stamp = PYTHAE / ".ready"
    torch_is_in = sysconfig.get_path("purelib")
    if not stamp.exists() or stamp.read_text() != torch_is_in:
        print("installing pythae ...", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", PYTHAE])
        _run([python, "-m", "pip", "install", "-q", "--no-deps", *_REQUIREMENTS])
        found = _run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        (Path(found.strip()) / "torch.pth").write_text(torch_is_in)
        stamp.write_text(torch_is_in)
    return python


def _run(command: list[str | Path]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"{command[0]} failed")
    return answer.stdout


def ours(task: Task, *, bf16: bool = False) -> Measured:
    """training/loop.py, one network after the other."""
    dataset, recipe, clock = task.dataset(), replace(task.recipe, bf16=bf16), task.clock()
    started = clock()
    runs = [loop.train(recipe, dataset, seed=seed) for seed in task.seeds]
    return _all(task, runs, clock() - started)


def _all(task: Task, runs: list[Trained], seconds: float) -> Measured:
    images = len(runs) * task.images * task.epochs
    return Measured(images, seconds, min(entry["mse"] for entry in runs[0].history))


def ours_bf16(task: Task) -> Measured:
    """training/loop.py, in bfloat16."""
    return ours(task, bf16=True)


def together(task: Task, *, bf16: bool = False) -> Measured:
    """training/ensemble.py, several networks at once."""
    task = replace(task, networks=max(task.networks, MEMBERS))
    dataset, recipe, clock = task.dataset(), replace(task.recipe, bf16=bf16), task.clock()
    started = clock()
    runs = ensemble.train([Member(recipe, seed) for seed in task.seeds], dataset)
    return _all(task, runs, clock() - started)


def together_bf16(task: Task) -> Measured:
    """training/ensemble.py, several networks at once, in bfloat16."""
    return together(task, bf16=True)


REPORTS, PLAIN, OURS = "the report's style of loop", "a plain loop", "training/loop.py"
ENSEMBLE = "training/ensemble.py"
WAYS: dict[str, Way] = {
    REPORTS: reports,
    PLAIN: plain,
    "pythae's trainer": pythae,
    OURS: ours,
    f"{OURS}, bfloat16": ours_bf16,
    f"{ENSEMBLE}, {MEMBERS} seeds": together,
    f"{ENSEMBLE}, {MEMBERS} seeds, bfloat16": together_bf16,
}
# Of many networks.
MANY: dict[str, Way] = {
    OURS: ours,
    f"{OURS}, bfloat16": ours_bf16,
    ENSEMBLE: together,
    f"{ENSEMBLE}, bfloat16": together_bf16,
}
