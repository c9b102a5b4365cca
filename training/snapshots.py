"""What a network makes of the same few images after each epoch, kept beside its run.

One PNG an epoch, `epochs/007.png`: the outputs side by side, so that a run that was killed goes
on where it was and nothing of it need be kept in memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training import sheets
from training.cards import one_of_each
from training.corruption import Corruption
from training.data import Dataset, Images
from training.loop import Watch
from training.networks import Autoencoder
from training.seeds import generator

Array = NDArray[np.uint8]

COUNT = 8
FOLDER = "epochs"


def keeper(dataset: Dataset, corruption: Corruption, folder: Path) -> Watch:
    """A watcher that writes `folder`/epochs/NUMBER.png after each epoch."""
    clean_NHWC = torch.from_numpy(one_of_each(dataset.test, COUNT))
    clean = Images(clean_NHWC, torch.zeros(len(clean_NHWC)))
    noisy_BCHW = corruption(clean.batch(slice(None)), generator(0, "snapshots"))

    @torch.no_grad()
    def watch(epoch: int, net: Autoencoder) -> None:
        net.eval()
        device = next(net.parameters()).device
        strip = levels(net(noisy_BCHW.to(device)).images)
        wide = Image.fromarray(np.concatenate(list(strip), 1).squeeze())
        sheets.save(wide, folder / FOLDER / f"{epoch:03}.png")

    return watch


def levels(x_BCHW: torch.Tensor) -> Array:
    """Float images in [0, 1] as uint8 [B,H,W,C]."""
    rounded = (x_BCHW.clamp(0, 1) * 255).round().to(torch.uint8)
    images: Array = rounded.permute(0, 2, 3, 1).cpu().numpy()
    return images


def read(folder: Path) -> dict[int, Array]:
    """The outputs `[N,H,W,C]` after each epoch that was kept, by its number."""
    kept = {}
    for path in sorted((folder / FOLDER).glob("*.png")):
        with Image.open(path) as picture:
            wide_HWC = np.asarray(picture).reshape(picture.height, picture.width, -1)
        width = wide_HWC.shape[1] // COUNT
        kept[int(path.stem)] = np.stack([wide_HWC[:, i * width :][:, :width] for i in range(COUNT)])
    return kept
