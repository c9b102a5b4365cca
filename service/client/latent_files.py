"""Latents in a file: an array, or JSON that names the model and the pictures too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from service.client.bulk import Usage
from service.client.results import Floats, ModelName

SUFFIXES = {".npy", ".json"}

Row = tuple[Floats, Floats | None]
"""Latents and, of a variational model, log-variances of one image."""


def write(path: Path, model: ModelName, done: Sequence[tuple[Path, Row]]) -> None:
    """Writes `[B,...]` (.npy), or an object that POST /decode's `latents` stand in (.json).

    Raises:
        Usage: latents of several shapes for one array.
    """
    rows = [latents for _, (latents, _) in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        if len({row.shape for row in rows}) > 1:
            raise Usage("latents of several shapes are no one array: write --out FILE.json")
        np.save(path, np.stack(rows))
        return
    document: dict[str, Any] = {
        "model": asdict(model),
        "files": [str(picture) for picture, _ in done],
        "latents": [row.tolist() for row in rows],
    }
    if any(variances is not None for _, (_, variances) in done):
        document["log_variances"] = [v.tolist() for _, (_, v) in done if v is not None]
    path.write_text(json.dumps(document))


def read(path: Path) -> tuple[list[Floats], ModelName | None]:
    """One array an image, and the model that made them, where the file says so.

    Raises:
        Usage: it is not what `write` writes.
    """
    try:
        if path.suffix == ".npy":
            return list(np.load(path, allow_pickle=False)), None
        document = json.loads(path.read_text())
        rows = [np.asarray(row, np.float32) for row in document["latents"]]
        return rows, ModelName(**document["model"]) if "model" in document else None
    except (ValueError, LookupError, TypeError) as error:
        raise Usage(f"{path} is not what `autoencoder encode` writes: {error}") from None
