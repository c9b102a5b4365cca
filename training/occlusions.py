"""R2's other reading of its occlusions: one side of the square for a whole test set.

The author's code draws a side from 5 to 13 when a test set is made, so that each of the report's
two cells is of a side of its own, which nobody knows. Here is what every side gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.model import Model
from training import protocols
from training.corruption import Occlusion
from training.data import Images
from training.networks import Autoencoder
from training.reported import Reported
from training.sweep import as_served

SIDES = tuple(range(5, 14))


def measure(models: dict[str, Path], test: Images) -> list[dict[str, Any]]:
    """For each side the test error of doing nothing and of each model, on the same squares."""
    subjects = {"input": Autoencoder(nn.Identity(), nn.Identity())}
    for name, folder in models.items():
        subjects[name] = Autoencoder(_Published(folder), nn.Identity())
    return [
        {
            "side": side,
            "mse": {
                name: round(protocols.score(net, test, reported)["mse"], 6)
                for name, net in subjects.items()
            },
        }
        for side in SIDES
        for reported in [Reported({}, "denoise", Occlusion(side, side))]
    ]


class _Published(nn.Module):
    """A published model between float images: a blackened square is a picture as any other."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = Model.open(folder, threads=torch.get_num_threads())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        levels_BHWC = 255 * x_BCHW.permute(0, 2, 3, 1).numpy()
        answer_BHWC = self.model.reconstruct(as_served(levels_BHWC))
        return torch.from_numpy(answer_BHWC).permute(0, 3, 1, 2).float() / 255
