"""map.json: the latents of test images, laid out by t-SNE and PCA for the playground to draw."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from service import manifest
from service.latent_map import FILE, Bits, Components, LatentMap, Table, short
from service.manifest import Manifest
from service.model import Model
from training import additions
from training.data import Dataset, by_turns

Floats = NDArray[np.float32]

MOST_LATENTS = 64
_MOST_POINTS = 1500
# All models together must fit a repository: 60,000 bytes are 80 kB in base64, 800 points of 64
# latents.
_BYTES = 60_000
# Few latents are an address, which 8 bits a latent would blur; of many they move a pixel by less
# than a grey level: 54 dB (PSNR) from the latents themselves in mnist-deep-30.
_FINE = 8
_ROUNDS = 500  # 12 s of one core for a map of 1,500 points; the other 500 move little
_COORDINATES = 2 * (2 + 3)  # bytes: 16 bits each on a plane and in space


def draw(model: Model, card: Manifest, dataset: Dataset) -> LatentMap | None:
    """The map of a model; None without classes, or without a bottleneck of 2 to 64 live latents."""
    size = math.prod(length or 0 for length in card.latent_shape)
    if "interpolate" not in card.abilities or not 2 <= size <= MOST_LATENTS:
        return None
    if len(dataset.classes) < 2:
        return None
    bits: Bits = 16 if size <= _FINE else 8
    flat = size > 2  # two latents are a plane already
    row = 1 + size * bits // 8 + flat * _COORDINATES
    labels = dataset.test.labels
    places = by_turns(torch.arange(len(labels)), labels)[: min(_MOST_POINTS, _BYTES // row)]
    latents = model.encode(dataset.test.pixels[places].cpu().numpy()).latents
    latents_ND = latents.reshape(len(places), -1)
    if not np.ptp(latents_ND, axis=0).any():
        return None
    return LatentMap(
        classes=dataset.classes,
        labels=base64.b64encode(labels[places].byte().numpy().tobytes()).decode("ascii"),
        latents=Table.of(latents_ND, bits),
        components=_components(latents_ND, 3) if flat else None,
        tsne=_layouts(latents_ND) if flat else {},
    )


def encoded(made: LatentMap) -> bytes:
    """What map.json holds."""
    return made.model_dump_json().encode() + b"\n"


def add(folder: Path, dataset: Dataset) -> Path:
    """Publishes the model in `folder` again with a map, if it lacks one that it could have."""
    card = manifest.read(folder)
    made = None if FILE in card.files else draw(Model.open(folder), card, dataset)
    return folder if made is None else additions.put(folder, FILE, encoded(made))


def tsne(latents_ND: Floats, axes: int, *, rounds: int = 1000) -> Floats:
    """t-SNE with scikit-learn's own settings and seed 0, as reports R0 and R2 have it."""
    from sklearn.manifold import TSNE  # noqa: PLC0415 (slow to import)

    perplexity = min(30, (len(latents_ND) - 1) / 3)
    made = TSNE(axes, perplexity=perplexity, max_iter=rounds, init="pca", random_state=0)
    # Its threads spin while they wait for one another: beside other work on two cores, one thread
    # took 35 s where two took four minutes.
    with threadpool_limits(1):
        places: Floats = made.fit_transform(latents_ND)
    return places


def _layouts(latents_ND: Floats) -> dict[Literal["2", "3"], Table]:
    plane, space = (tsne(latents_ND, axes, rounds=_ROUNDS) for axes in (2, 3))
    return {"2": Table.of(plane, 16), "3": Table.of(space, 16)}


def _components(latents_ND: Floats, count: int) -> Components:
    mean = latents_ND.mean(0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(latents_ND - mean, full_matrices=False)
    share = spread**2 / (spread**2).sum()
    return Components(
        mean=tuple(map(short, mean)),
        axes=tuple(tuple(map(short, axis)) for axis in axes[:count]),
        explained=tuple(round(float(part), 4) for part in share[:count]),
    )
