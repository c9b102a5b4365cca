"""One task by pythae's own trainer, with our network as its encoder and decoder.

`python -m benchmarks.peers.pythae_training NAME BATCH IMAGES EPOCHS SEED THREADS ROOT`, in
pythae's environment; its last line is JSON. The trainer scores its evaluation set each epoch, as
ours does.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from pythae.data.datasets import BaseDataset
from pythae.models import AE, AEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from benchmarks.ways import Measured, Task, floats
from training import loop
from training.data import Images


class _Encoder(BaseEncoder):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x_BCHW: Tensor) -> ModelOutput:
        return ModelOutput(embedding=self.inner(x_BCHW))


class _Decoder(BaseDecoder):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, latents_BD: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.inner(latents_BD))


def measure(task: Task, scratch: str) -> Measured:
    """Trains, and scores the weights that the trainer thinks best."""
    recipe, dataset = task.recipe, task.dataset()
    learn, check = recipe.split(dataset)
    clock = task.clock()
    started = clock()
    net = task.network(dataset)
    model = AE(
        AEConfig(input_dim=tuple(dataset.shape), latent_dim=1),
        _Encoder(net.encoder), _Decoder(net.decoder),
    )  # fmt: skip
    config = BaseTrainerConfig(
        output_dir=scratch, num_epochs=task.epochs, learning_rate=recipe.optimiser.lr,
        per_device_train_batch_size=recipe.batch, per_device_eval_batch_size=1000,
        optimizer_cls="Adam", seed=task.seed, no_cuda=True,
    )  # fmt: skip
    trainer = BaseTrainer(model, _plain(learn), _plain(check), config)
    trainer.train()
    seconds = clock() - started
    best = trainer._best_model
    net.encoder, net.decoder = best.encoder.inner, best.decoder.inner
    mse, _ = loop.score(recipe, net, check)
    return Measured(task.images * task.epochs, seconds, mse)


def _plain(images: Images) -> BaseDataset:
    return BaseDataset(floats(images), images.labels)


def main() -> None:
    """Prints what was measured."""
    name, *numbers, root = sys.argv[1:]
    logging.disable(logging.INFO)
    batch, images, epochs, seed, threads = map(int, numbers)
    task = Task(name, batch, images, epochs, seed, Path(root), threads)
    with tempfile.TemporaryDirectory() as scratch:
        print("\n" + json.dumps(asdict(measure(task, scratch))))


if __name__ == "__main__":
    main()
