"""card.png: what a model does at a glance, drawn by running the graphs that are served."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service import corruption, manifest
from service.manifest import Manifest, Score
from service.model import Model
from training import additions, sheets
from training.data import Images
from training.seeds import named

Array = NDArray[np.uint8]

CARD = "card.png"
# Pictures with noise on them do not compress: five in a row in colour, three of photographs, and
# levels rounded to multiples of 4, which nobody sees, keep a card of colour pictures below 60 KB
# (73 KB without) and one of grey photographs below 90 KB (120).
_GREY, _COLOUR = (10, 64), (5, 128)
_PHOTOGRAPH, _FEW = 128, 3
_COARSE = [min(255, 4 * round(level / 4)) for level in range(256)]
_ROWS_OF_SAMPLES = 3


def draw(model: Model, card: Manifest, test: Images) -> Image.Image:
    """The card of a model whose graphs are open and whose manifest is written or about to be."""
    columns, cell = _GREY if card.image.channels == 1 else _COLOUR
    if min(test.pixels.shape[1:3]) > _PHOTOGRAPH:
        columns, cell = _FEW, _PHOTOGRAPH
    clean = middle(one_of_each(test, columns), _PHOTOGRAPH)
    rows = [sheets.Row("original", clean)]
    shown = clean
    if "denoise" in card.abilities and card.corruption:
        shown = noisy(clean, card.corruption)
        rows.append(sheets.Row(in_words(card.corruption), shown))
    rows.append(sheets.Row("output", model.reconstruct(shown)))
    if "interpolate" in card.abilities:
        rows.append(sheets.Row("from the first\nto the last", path(model, clean, columns)))
    if "sample" in card.abilities:
        drawn = samples(model, card, columns * _ROWS_OF_SAMPLES)
        parts = sheets.grid(drawn, columns)
        rows += [sheets.Row("samples" if i == 0 else "", p.images) for i, p in enumerate(parts)]
    page = sheets.sheet(rows, title=card.name, lines=_lines(card), cell=cell)
    coarse = page.mode == "RGB" or columns == _FEW
    return page.point(_COARSE * len(page.getbands())) if coarse else page


def add(folder: Path, test: Images) -> Path:
    """Publishes the model in `folder` again with a card drawn anew, if that looks otherwise."""
    drawn = io.BytesIO()
    sheets.save(draw(Model.open(folder), manifest.read(folder), test), drawn)
    return additions.put(folder, CARD, drawn.getvalue())


def one_of_each(test: Images, count: int) -> Array:
    """The first test image of each class, in order of the classes, then the second of each."""
    labels = test.labels.tolist()
    seen: Counter[int] = Counter()
    ranks = []
    for place, label in enumerate(labels):
        ranks.append((seen[label], label, place))
        seen[label] += 1
    places = [place for *_, place in sorted(ranks)[:count]]
    chosen: Array = test.pixels[places].cpu().numpy()
    return chosen


def middle(images_BHWC: Array, side: int) -> Array:
    """The middle of images that are larger than `side` pixels: to be seen pixel by pixel."""
    height, width = images_BHWC.shape[1:3]
    top, left = (max(0, length - side) // 2 for length in (height, width))
    return images_BHWC[:, top:, left:][:, :side, :side]


def noisy(images_BHWC: Array, spec: str) -> Array:
    """The images with a corruption of the service's on them, the same each time."""
    rng = np.random.default_rng(named(0, f"card {spec}"))
    return corruption.parse(spec)(images_BHWC, rng)


def path(model: Model, images_BHWC: Array, steps: int) -> Array:
    """Decoded latents from those of the first image to those of the last."""
    latents = model.encode(images_BHWC).latents
    return model.decode(np.linspace(latents[0], latents[-1], steps, dtype=np.float32))


def samples(model: Model, card: Manifest, count: int, prior: str | None = None) -> Array:
    """Decoded random latents, from `prior` or the better of those the model has."""
    rng = np.random.default_rng(named(0, "samples"))
    shape = tuple(n or 1 for n in card.latent_shape)
    normals = rng.standard_normal((count, *shape), dtype=np.float32)
    uniforms = rng.random(count, dtype=np.float32)
    mixed = (prior or card.priors[0]) == "mixture"
    return model.decode(model.sample(normals, uniforms) if mixed else normals)


def in_words(spec: str) -> str:
    """`gaussian:0.2` as a reader says it."""
    kind, _, amount = spec.partition(":")
    return f"noise {amount}" if kind == "gaussian" else f"{kind}\n{amount} pixels"


def _lines(card: Manifest) -> list[str]:
    latents = " x ".join("any" if n is None else str(n) for n in card.latent_shape)
    facts = [card.dataset, f"{card.parameters:,} parameters"]
    facts += [f"report {card.source}"] if card.source else []
    if "encode" in card.abilities:
        facts.insert(1, f"{latents} latents")
    return [", ".join(facts), *_headlines(card.scores)][:4]


def _headlines(scores: Sequence[Score]) -> list[str]:
    """A line for each task, with what it stands beside."""
    served = [s for s in scores if s.protocol == "served" and "psnr" in s.values]
    lines = []
    for own in (s for s in served if s.subject == "model"):
        beside = [
            f"{_NAMES[s.subject]} {s.values['psnr']:.1f}"
            for s in served
            if s.subject != "model" and (s.task, s.corruption) == (own.task, own.corruption)
        ]
        words = f"{own.task} {in_words(own.corruption)}" if own.corruption else own.task
        rest = f"  ({', '.join(beside)})" if beside else ""
        lines.append(f"{words}: {own.values['psnr']:.1f} dB{rest}".replace("\n", " "))
    return lines


_NAMES = {"input": "as it came", "linear": "linear filter", "pca": "PCA", "report": "report"}
