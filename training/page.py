"""The playground's own pictures, service/page/images: `python -m training.page`.

A few images of each TEST set, which no model has seen, as PNG files and a list of them.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

from PIL import Image

from training import cards, data

FOLDER = data.CHECKOUT / "service" / "page" / "images"
COUNTS = {"mnist": 20, "mnist-colour": 10, "cifar10": 20}


def write(where: Path, folder: Path = FOLDER) -> list[Path]:
    """Writes the pictures, the first of each class in turn, and list.json."""
    folder.mkdir(parents=True, exist_ok=True)
    listed, paths = [], []
    for name, count in COUNTS.items():
        dataset = data.load(name, where)
        for i, image in enumerate(cards.one_of_each(dataset.test, count)):
            label = dataset.classes[i % len(dataset.classes)]
            turn = "" if i < len(dataset.classes) else f"-{i // len(dataset.classes) + 1}"
            path = folder / f"{name}-{label}{turn}.png"
            path.write_bytes(_png(Image.fromarray(image.squeeze(-1) if name == "mnist" else image)))
            listed.append({"name": path.stem, "set": name, "label": label})
            paths.append(path)
    text = ",\n".join(json.dumps(entry) for entry in listed)
    (folder / "list.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
    return paths


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", metavar="ROOT", help="folder of the data sets")
    for written in write(data.root(parser.parse_args().data)):
        print(written.name)
