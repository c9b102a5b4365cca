"""Writes docs/reproduction.md from what was measured: no number in its tables is typed by hand.

Numbers come from models/*/1/model.json and from the JSON that `sweep`, `search`, `replicate`,
`readings`, `baselines` and `figures` leave in docs/reproduction, those of the reports from
training/reported.py, the sentences from training/differences.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service import manifest
from service.manifest import Manifest
from training import baselines, comparison, figures, readings, replicas
from training.cards import CARD
from training.comparison import MISSING, score
from training.differences import SOURCES, sentence
from training.recipes import RECIPES, Recipe
from training.reported import REPORTED, SEARCH
from training.tables import number, table

_HEAD = """# The five reports, reproduced

Written by `python -m training report` from the models' manifests and the JSON in `reproduction/`;
not to be edited. Everything is measured on the whole test set.

- **report** is what the report prints; **ours** is measured by the report's own protocol: mean and
  standard deviation over the seeds, where there were several.
- **as served** is uint8 in and uint8 out through the exported graphs.
- The baselines are **doing nothing**, the best **linear** filter of 8x8 patches, and **PCA** with
  as many latents, under the very corruption that their line names. They are as served too, but for
  corruptions that no request can ask for, noise that is not clipped and squares of many sizes:
  under those they are measured as ours is, on the same draws (`python -m training baselines`), and
  a second line has the nearest that can be asked for, noise clipped or a square of the middle size.
  Beside a variational loss stands that of the best linear variational autoencoder under **PCA**.
- MSE is on [0, 1]. **difference** is ours against the report's; less is better for errors, more
  for decibels, SSIM and accuracy.
"""
_LOSSES = """The training loss is the last epoch's, on images as they were learnt from (moved,
under noise, with dropout); the validation loss is the lowest. Where that is far above, what was
missing is images; where the two agree, it is the size of the network or the length of its training.
"""

Cards = Mapping[str, Manifest]


def write(models: Path, results: Path, path: Path) -> None:
    """Writes the whole document to `path`."""
    path.write_text(document(models, results, path.parent), encoding="utf-8")


def document(models: Path, results: Path, beside: Path) -> str:
    """The document's text, its links as seen from the folder `beside`."""
    cards = {
        card.name: card
        for card in (manifest.read(p.parent) for p in sorted(models.glob("*/1/model.json")))
    }
    parts = [_HEAD]
    for name in SOURCES:
        parts += _report(name, cards, results)
        parts += _pictures(name, models, results, beside)
    histories = figures.stored(results / figures.HISTORIES)
    parts += ["## What it took\n", _LOSSES, _costs(cards, histories)]
    return "\n".join(parts).rstrip() + "\n"


def _report(name: str, cards: Cards, results: Path) -> Iterator[str]:
    source = SOURCES[name]
    mine = [recipe for recipe in RECIPES if recipe.source == name]
    yield f"## {name}. {source.title}\n"
    yield f"The report trains with {source.training}.\n"
    yield from (f"- {fact}" for fact in source.facts)
    yield ""
    known = figures.stored(results / baselines.FILE)
    rows = [
        row for recipe in mine for row in comparison.rows(recipe, cards.get(recipe.name), known)
    ]
    yield table(comparison.HEADER, rows)
    histories = figures.stored(results / figures.HISTORIES)
    learnt = [
        row
        for recipe in mine
        for row in comparison.learnt(recipe, cards.get(recipe.name), histories.get(recipe.name))
    ]
    if learnt:
        yield "### Errors on training, validation and test images\n"
        yield table(comparison.LEARNT, learnt)
    accuracies = [row for recipe in mine for row in comparison.accuracies(recipe.name, cards)]
    if accuracies:
        yield "### Classifiers on the latents\n"
        yield table(comparison.CLASSIFIED, accuracies)
    if name == "R1":
        yield "The best of each kind of latents on validation:\n"
        last = readings.on_pixels(figures.stored(results / readings.FILE))
        yield table(comparison.BEST_CLASSIFIED, [*comparison.best_accuracies(cards), *last])
    yield "### Where the differences come from\n"
    said: dict[str, list[str]] = {}
    for recipe in mine:
        words = _difference(recipe, cards.get(recipe.name))
        said.setdefault(words, []).append(f"`{recipe.name}`")
    yield from (f"- {', '.join(names)}: {words}" for words, names in said.items())
    yield ""
    yield from _replicas(mine, cards, results)
    yield from readings.page(name, cards, figures.stored(results / readings.FILE))
    if name == "R2":
        yield from _searches(results)
    yield from _noise(mine, results)


def _difference(recipe: Recipe, card: Manifest | None) -> str:
    """The epochs counted, then what was said of the model, then of its report's numbers."""
    words = []
    theirs = SOURCES[recipe.source].epochs
    if card is not None and theirs is not None:
        words.append(f"{card.provenance.epochs} epochs, {theirs} in the report.")
    if card is not None and _short(card):
        words.append("More than a tenth short of the report.")
    words.append(sentence(recipe.name) or "")
    notes = dict.fromkeys(r.note for r in REPORTED.get(recipe.name, ()) if r.note)
    words += [f"Of the report: {note}." for note in notes]
    return " ".join(words)


def _short(card: Manifest) -> bool:
    """Whether an error by the report's protocol is more than a tenth above the report's."""
    pairs = (
        (score(card, reported, "model", "report"), reported)
        for reported in REPORTED.get(card.name, ())
    )
    return any(
        ours.values[key] > 1.1 * theirs.values[key]
        for ours, theirs in pairs
        if ours is not None
        for key in theirs.values.keys() & {"mse", "loss"}
    )


def _replicas(mine: Sequence[Recipe], cards: Cards, results: Path) -> Iterator[str]:
    """The same networks trained as the report trained them, where that was done."""
    known = figures.stored(results / replicas.FILE)
    rows = [
        row
        for recipe in mine
        for key in replicas.readings(recipe.name)
        if key in known
        for row in comparison.replica(
            recipe.name, replicas.apart(key), cards.get(recipe.name), known[key]
        )
    ]
    if not rows:
        return
    yield "### With the report's own settings\n"
    yield (
        "The report's optimiser, rate, batch and epochs, from torch's own start; the weights best "
        "on validation, and noise anew for every batch, as with ours, unless the line says that it "
        "was drawn once. What separates the last two columns is how the network is trained. Where "
        "the report can be read in two ways, or its author's code does another thing than its text "
        "says, there is a line for each.\n"
    )
    yield table(comparison.REPLICAS, rows)


def _searches(results: Path) -> Iterator[str]:
    for path in sorted(results.glob("search-*.json")):
        found = figures.stored(path)
        points, best, also = found["points"], found["points"][0], found.get("also", [])
        halving = found["halving"]
        way = " by successive halving" if halving else ""
        whole = [point for point in points if point["epochs"] == found["epochs"]]
        yield f"### Random search of `{path.stem.removeprefix('search-')}`\n"
        yield (
            f"{found['draws']} points of the 19 x 19 grid, {found['folds']} folds, up to "
            f"{found['epochs']} epochs{way}: best at rate {best['lr']:g} and L2 {best['l2']:g}, "
            f"mean validation loss after the last epoch {number('loss', best['mean'])}. Of the "
            f"{len(whole)} points that ran all epochs "
            f"{sum(bool(point['died']) for point in whole)} ended as a constant image in some fold"
            f"{'; the others were judged by their first epochs alone' if halving else ''}.\n"
        )
        yield _reports_point(points, also)
        if winner := found.get("winner"):
            yield (
                f"The best point trained alone on all folds, {winner['epochs']} epochs: "
                f"{number('loss', winner['validation'])} on the validation images, "
                f"{number('loss', winner['test'])} on the test images.\n"
            )
        rows = [
            [f"{p['lr']:g}", f"{p['l2']:g}", str(p["epochs"]), number("loss", p["mean"]), drawn]
            for some, drawn in ((points[:10], "yes"), (also, "no, named"))
            for p in some
        ]
        yield table(("rate", "L2", "epochs", "mean of the folds", "drawn"), rows)


def _reports_point(points: Sequence[Mapping[str, Any]], also: Sequence[Mapping[str, Any]]) -> str:
    """What the report found best, and what that point gives here."""
    same = [p for p in (*points, *also) if (p["lr"], p["l2"]) == (SEARCH["lr"], SEARCH["l2"])]
    ours = " and ".join(
        f"{number('loss', point['mean'])} after {point['epochs']} epochs" for point in same
    )
    drawn = " It is not among the points drawn." if same and same[0] in also else ""
    return (
        f"The report found rate {SEARCH['lr']:g} and L2 {SEARCH['l2']:g} best; its text speaks of "
        f"40 epochs, its author's code ran 15 and had {number('loss', SEARCH['loss'])}. That point "
        f"has {ours or 'not been tried'} here.{drawn}\n"
    )


def _noise(mine: Sequence[Recipe], results: Path) -> Iterator[str]:
    measured = figures.stored(results / figures.NOISE)
    shown = {recipe.name: measured[recipe.name] for recipe in mine if recipe.name in measured}
    if not shown:
        return
    yield "### Noise of other strengths\n"
    yield "PSNR in dB as served, noise clipped; in brackets the MSE with noise not clipped.\n"
    for dataset in dict.fromkeys(found["dataset"] for found in shown.values()):
        some = {name: found for name, found in shown.items() if found["dataset"] == dataset}
        columns = [found["levels"] for found in some.values()]
        rows = []
        for place, level in enumerate(columns[0]):
            cells = [_noisy(column[place], "model") for column in columns]
            rows.append([f"{level['std']:g}", _noisy(level, "input"), *cells])
        yield table(("std", "doing nothing", *(f"`{name}`" for name in some)), rows)


def _noisy(level: Mapping[str, Any], subject: str) -> str:
    psnr, mse = level["clipped"][subject]["psnr"], level["unclipped"][subject]["mse"]
    return f"{number('psnr', psnr)} ({number('mse', mse, 3)})"


def _pictures(name: str, models: Path, results: Path, beside: Path) -> Iterator[str]:
    """Those that were drawn, each with its caption; a page to be turned is a link."""
    mine = [recipe for recipe in RECIPES if recipe.source == name]
    charts = [("Loss over the epochs", results / f"{name}-losses.png")]
    for data in dict.fromkeys(recipe.data for recipe in mine):
        charts.append(("Test error against the number of latents", results / f"{data}-latents.png"))
        charts.append(("Test error against the noise", results / f"{data}-noise.png"))
    own = [figure for figure in figures.figures() if figure.report == name]
    charts += [(f"{figures.KINDS[f.kind].caption}: `{f.model}`", results / f.file) for f in own]
    drawn = [(caption, path) for caption, path in charts if path.exists()]
    if drawn:
        yield "### Figures\n"
    for caption, path in drawn:
        mark = "" if path.suffix == ".html" else "!"
        yield f"{caption}:\n\n{mark}[{_plain(caption)}]({_link(path, beside)})\n"
    cards = [(r.name, models / r.name / "1" / CARD) for r in mine]
    cards = [(model, path) for model, path in cards if path.exists()]
    if cards:
        yield "### Cards\n"
        yield from (f"![{model}]({_link(path, beside)})\n" for model, path in cards)


def _plain(caption: str) -> str:
    return caption.replace("`", "")


def _link(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path, beside)).as_posix()


def _costs(cards: Cards, histories: Mapping[str, Mapping[str, list[float]]]) -> str:
    rows = []
    for recipe in (recipe for recipe in RECIPES if recipe.source in SOURCES):
        card = cards.get(recipe.name)
        if card is None:
            rows.append([f"`{recipe.name}`", MISSING, *[""] * 6])
            continue
        made = card.provenance
        live = next((s.note for s in card.scores if s.note.endswith("latents live")), "")
        rows.append([
            f"`{recipe.name}`", f"{card.parameters:,}", str(made.epochs), f"{made.seconds:,.0f}",
            made.device, *comparison.losses(histories.get(recipe.name)),
            live.removesuffix(" latents live"),
        ])  # fmt: skip
    header = (
        "model", "parameters", "epochs", "seconds", "device", "training loss", "validation loss",
        "live latents",
    )  # fmt: skip
    return table(header, rows)
