"""Ways to train one network, side by side: images a second and the loss after as many epochs.

    python -m benchmarks.training mnist-conv-6 --images 48000 --epochs 1 --rounds 3

All train the same architecture with Adam at a constant rate, on as many images, seed by seed; they
take turns, and each round is one seed. Seconds are of the processor, on one thread: on a machine
that does something else too they are still a measure of the work, if a rough one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import ToTensor

from training import data, ensemble, loop, recipes
from training.data import Dataset, Images, Split
from training.initialise import build
from training.loop import Trained
from training.members import Member
from training.networks import Autoencoder
from training.recipes import Recipe
from training.schedules import Adam, Constant
from training.seeds import named

_MEMBERS = 2


@dataclass(frozen=True)
class Task:
    """One network to be trained, `images` of them an epoch."""

    recipe: Recipe
    dataset: Dataset
    seed: int

    def network(self) -> Autoencoder:
        """The network as all contestants start with it, of torch's own layers."""
        net = build(self.recipe.net, self.dataset.shape, "torch", named(self.seed, "init"))
        for module in net.modules():
            # What a reader of the report would have written, not our faster layers.
            if isinstance(module, nn.Conv2d):
                module.__class__ = nn.Conv2d
            elif isinstance(module, nn.ConvTranspose2d):
                module.__class__ = nn.ConvTranspose2d
        return net


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


def reports(task: Task) -> list[Trained]:
    """As the reports do: a data loader, an image at a time, and the loss asked for at each step."""
    learn, _ = task.recipe.split(task.dataset)
    loader = DataLoader(_Pictures(learn), task.recipe.batch, shuffle=True)
    return [_ordinary(task, lambda: loader, asks=True)]


def plain(task: Task) -> list[Trained]:
    """A loop without a data loader's work: tensors in memory, nothing else done for speed."""
    learn, _ = task.recipe.split(task.dataset)
    x_NCHW = learn.pixels.permute(0, 3, 1, 2).float().div(255).contiguous()

    def batches() -> Iterator[Tensor]:
        order_N = torch.randperm(len(x_NCHW))
        return (x_NCHW[index] for index in torch.split(order_N, task.recipe.batch))

    return [_ordinary(task, batches, asks=False)]


def ours(task: Task) -> list[Trained]:
    """training/loop.py."""
    return [loop.train(task.recipe, task.dataset, seed=task.seed)]


def together(task: Task) -> list[Trained]:
    """training/ensemble.py, several seeds at once."""
    members = [Member(task.recipe, task.seed + 1000 * k) for k in range(_MEMBERS)]
    return ensemble.train(members, task.dataset)


CONTESTANTS: dict[str, Callable[[Task], list[Trained]]] = {
    "the report's style of loop": reports,
    "a plain loop": plain,
    "training/loop.py": ours,
    "training/ensemble.py": together,
}


def _ordinary(task: Task, batches: Callable[[], Iterable[Tensor]], *, asks: bool) -> Trained:
    recipe = task.recipe
    torch.manual_seed(task.seed)
    net = task.network().train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.optimiser.lr)
    running = 0.0
    for _ in range(recipe.epochs):
        for x_BCHW in batches():
            loss = nn.functional.mse_loss(net(x_BCHW).images, x_BCHW)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            running += loss.item() if asks else 0.0
    _, validation = recipe.split(task.dataset)
    mse, _ = loop.score(recipe, net, validation)
    return Trained(net.eval(), recipe.epochs, 0.0, [{"mse": mse}])


def main() -> None:
    """Prints a line a contestant, as a table that Markdown takes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("name", nargs="?", default="mnist-conv-6")
    parser.add_argument("--images", type=int, default=48_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", metavar="ROOT")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = recipes.named(options.name)
    dataset = data.load(chosen.data, data.root(options.data))
    kept = 2_000
    dataset = replace(dataset, train=dataset.train[slice(0, options.images + kept)])
    rate = Adam(chosen.optimiser.lr / 2)
    recipe = replace(chosen, epochs=options.epochs, optimiser=rate, schedule=Constant(),
                     split=Split(kept), shift=0)  # fmt: skip
    speeds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    errors: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for seed in range(options.rounds):
        for name, train in CONTESTANTS.items():
            started = time.process_time()
            runs = train(Task(recipe, dataset, seed))
            seconds = time.process_time() - started
            speeds[name].append(len(runs) * options.images * options.epochs / seconds)
            errors[name].append(min(entry["mse"] for entry in runs[0].history))
    first = statistics.median(speeds["the report's style of loop"])
    print("| way | images/s | ratio | validation MSE |\n|---|---|---|---|")
    for name in CONTESTANTS:
        speed, found = statistics.median(speeds[name]), errors[name]
        spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
        mean = statistics.fmean(found)
        print(f"| {name} | {speed:,.0f} | {speed / first:.2f} | {mean:.4f}{spread} |")


if __name__ == "__main__":
    main()
