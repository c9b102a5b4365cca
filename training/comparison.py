"""The lines of the tables that set our numbers beside the reports'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.manifest import Manifest, Score
from training import baselines
from training.baselines import Baselines, Values
from training.corruption import Corruption, Gaussian, Occlusion
from training.recipes import Recipe
from training.reported import ACCURACIES, BEST_ACCURACIES, REPORTED, Reported
from training.tables import change, number, of_seeds

MISSING = "not trained yet"
HEADER = (
    "model", "task", "measure", "report", "ours", "seeds", "difference", "as served",
    "doing nothing", "linear", "PCA",
)  # fmt: skip
REPLICAS = (
    "model", "task", "measure", "report", "difference", "seeds", "the report's settings", "ours",
)  # fmt: skip
LEARNT = (
    "model", "report, training", "ours, training", "report, validation", "ours, validation",
    "report, test", "ours, test",
)  # fmt: skip
CLASSIFIED = (
    "model", "classifier", "report, validation", "report, test", "ours, validation", "ours, test",
    "seeds", "difference", "as served",
)  # fmt: skip
BEST_CLASSIFIED = (
    "latents of", "report, validation", "report, test", "ours of A1 to A3", "validation", "test",
    "ours of all", "validation", "test",
)  # fmt: skip
_REPORTS_CLASSIFIERS = ("A1", "A2", "A3")
_NAMES = {"mse": "MSE", "psnr": "PSNR, dB", "snr": "SNR, dB", "ssim": "SSIM", "loss": "loss"}


def rows(recipe: Recipe, card: Manifest | None, measured: Baselines) -> Iterator[list[str]]:
    """A line for each number of the report, or for MSE and PSNR where it gives none."""
    shown = f"`{recipe.name}`"
    known = measured.get(recipe.data, {})
    for reported in REPORTED.get(recipe.name, (Reported({}),)):
        under = known.get(baselines.key(recipe, reported), {})
        for task, cells in _blocks(card, reported, under):
            named = f"{reported.task}{task}"
            for key, line in cells.items():
                yield [shown, named, _NAMES[key], *line]
                shown = named = ""


def _blocks(
    card: Manifest | None, reported: Reported, under: Mapping[str, Values]
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Each line's baselines are under the corruption that it names.

    So one of the report's own has a block for what was measured under it, and another for the
    nearest one that a request can ask for.
    """
    keys = tuple(reported.values) or ("mse", "psnr")
    ours = {key: _ours(card, reported, key) for key in keys}
    served = {
        key: [
            _measured(score(card, reported, subject, "served"), key)
            for subject in ("model", "input", "linear", "pca")
        ]
        for key in keys
    }
    tested = reported.corruption
    if reported.measure == "elbo" and under:
        served["loss"][-1] = number("loss", under["pca"]["loss"])
    if not baselines.own(tested):
        yield _in_words(tested), {key: ours[key] + served[key] for key in keys}
        return
    beside = {
        key: [number(key, under[subject][key]) if under else "" for subject in ("input", "linear")]
        for key in keys
    }
    yield _in_words(tested), {key: [*ours[key], "", *beside[key], ""] for key in keys}
    yield _as_asked_for(tested), {key: [""] * len(ours[key]) + served[key] for key in keys}


def _ours(card: Manifest | None, reported: Reported, key: str) -> list[str]:
    """The report's number, ours by its protocol, our seeds, and the difference."""
    ours, theirs = score(card, reported, "model", "report"), reported.values.get(key)
    return [
        "" if theirs is None else number(key, theirs),
        MISSING if card is None else _measured(ours, key),
        "" if ours is None else str(ours.seeds),
        "" if ours is None or theirs is None else change(key, ours.values[key], theirs),
    ]


def _in_words(corruption: Corruption) -> str:
    if isinstance(corruption, Occlusion):
        return f", occlusion of {corruption.low} to {corruption.high} pixels"
    if isinstance(corruption, Gaussian):
        return f", noise {corruption.std:g}{'' if corruption.clip else ' not clipped'}"
    return ""


def _as_asked_for(corruption: Corruption) -> str:
    """The nearest that the service can simulate."""
    kind, _, amount = (corruption.served or "").partition(":")
    return f", noise {amount} clipped" if kind == "gaussian" else f", {kind} of {amount} pixels"


def score(card: Manifest | None, reported: Reported, subject: str, protocol: str) -> Score | None:
    """What the manifest says of a subject at a task of the report's, if it says anything."""
    wanted = (subject, reported.task, reported.corruption.served, protocol)
    for found in card.scores if card else ():
        if (found.subject, found.task, found.corruption, found.protocol) == wanted:
            return found
    return None


def _measured(found: Score | None, key: str) -> str:
    return "" if found is None else of_seeds(key, found.values, found.spread)


def replica(
    name: str, reading: str, card: Manifest | None, found: Mapping[str, Any]
) -> Iterator[list[str]]:
    """A line for each number of the report, or for MSE: by its settings, and by our recipe.

    `reading` is what sets this reading of its settings apart.
    """
    shown = f"`{name}`, {reading}" if reading else f"`{name}`"
    lived = len(found["seeds"]) - len(found["died"])
    for reported, row in zip(REPORTED[name], found["rows"], strict=True):
        task = f"{reported.task}{_in_words(reported.corruption)}"
        ours = score(card, reported, "model", "report")
        for key in reported.values or ("mse",):
            theirs, value = reported.values.get(key), row["values"].get(key)
            yield [
                shown, task, _NAMES[key],
                "" if theirs is None else number(key, theirs),
                "" if theirs is None or value is None else change(key, value, theirs),
                str(lived),
                of_seeds(key, row["values"], row["spread"]) or found["died"][-1],
                _measured(ours, key),
            ]  # fmt: skip
            shown = task = ""


def learnt(
    recipe: Recipe, card: Manifest | None, kept: Mapping[str, list[float]] | None
) -> Iterator[list[str]]:
    """A line with the errors on training, validation and test images, theirs and ours each."""
    for reported in REPORTED.get(recipe.name, ()):
        # A blind denoiser's losses are under noise of every level, not the report's.
        if reported.learnt is None or reported.corruption != recipe.corruption:
            continue
        test = _measured(score(card, reported, "model", "report"), "mse") or MISSING
        theirs = [number("mse", error) for error in (*reported.learnt, reported.values["mse"])]
        pairs = zip(theirs, [*losses(kept), test], strict=True)
        yield [f"`{recipe.name}`", *(cell for pair in pairs for cell in pair)]


def losses(kept: Mapping[str, list[float]] | None) -> list[str]:
    """The last training loss and the lowest validation loss of a history; empty without one."""
    if not kept:
        return ["", ""]
    return [number("loss", loss) for loss in (kept["train"][-1], min(kept["validation"]))]


def accuracies(name: str, cards: Mapping[str, Manifest]) -> Iterator[list[str]]:
    """A line for each classifier on the latents of a model: the report's, and ours."""
    ours = classified(cards.get(name), "report")
    served = classified(cards.get(name), "served")
    printed = ACCURACIES.get(name, {})
    shown = f"`{name}`"
    for kind in dict.fromkeys([*printed, *ours]):
        valid, theirs = printed.get(kind, (None, None))
        found = ours.get(kind)
        yield [
            shown, kind,
            *("" if share is None else number("accuracy", share) for share in (valid, theirs)),
            _measured(found, "validation"),
            _measured(found, "accuracy") or MISSING,
            "" if found is None else str(found.seeds),
            "" if found is None or theirs is None
            else change("accuracy", found.values["accuracy"], theirs),
            _measured(served.get(kind), "accuracy"),
        ]  # fmt: skip
        shown = ""


def best_accuracies(cards: Mapping[str, Manifest]) -> Iterator[list[str]]:
    """R1's last table: on each kind of latents the classifier that is best on validation.

    Theirs, ours among the report's A1 to A3, and ours among all.
    """
    for latents, (names, printed) in BEST_ACCURACIES.items():
        found = [
            (name, kind, row)
            for name in names
            for kind, row in classified(cards.get(name), "report").items()
            if "validation" in row.values
        ]
        own = [each for each in found if each[1] in _REPORTS_CLASSIFIERS]
        cells = [number("accuracy", share) for share in printed]
        for rows in (own, found):
            if not rows:
                cells += [MISSING, "", ""]
                continue
            name, kind, row = max(rows, key=lambda each: each[2].values["validation"])
            cells.append(f"`{name}`, {kind}")
            cells += [_measured(row, "validation"), _measured(row, "accuracy")]
        yield [latents, *cells]


def classified(card: Manifest | None, protocol: str) -> dict[str, Score]:
    """Our rows of classifiers, by the classifier's name."""
    rows = [s for s in card.scores if s.task == "classify"] if card else []
    return {
        s.note.removeprefix("classifier "): s
        for s in rows
        if (s.subject, s.protocol) == ("model", protocol)
    }
