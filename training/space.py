"""An interactive scatter plot in three dimensions: one HTML file, no library, no network."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.charts import COLOURS

_PAGE = Path(__file__).with_name("space.html")


def write(
    path: Path, places_N3: NDArray[Any], labels: NDArray[Any], names: Sequence[str], title: str
) -> None:
    """Writes a page on which the points can be turned, zoomed and shown by class."""
    centred = places_N3 - places_N3.mean(0)
    places = np.round(centred / np.abs(centred).max(), 3)
    data = {
        "places": places.tolist(),
        "labels": labels.tolist(),
        "names": list(names),
        "colours": [COLOURS[k % len(COLOURS)] for k in range(len(names))],
    }
    page = _PAGE.read_text(encoding="utf-8").replace("{{title}}", html.escape(title))
    # A data set's class may be called anything, "</script>" too.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.replace("{{data}}", text), encoding="utf-8")
