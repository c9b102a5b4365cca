"""The lines of the tables that set our numbers beside the reports'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.manifest import Manifest, Score
from training.baselines import Baselines, Values, own
from training.corruption import Corruption, Gaussian, Occlusion
from training.recipes import Recipe
from training.reported import ACCURACIES, REPORTED, Reported
from training.tables import change, number

MISSING = "not trained yet"
HEADER = (
    "model", "task", "measure", "report", "ours", "seeds", "difference", "as served",
    "doing nothing", "linear", "PCA",
)  # fmt: skip
REPLICAS = (
    "model", "task", "measure", "report", "difference", "seeds", "the report's settings", "ours",
)  # fmt: skip
_NAMES = {"mse": "MSE", "psnr": "PSNR, dB", "snr": "SNR, dB", "ssim": "SSIM", "loss": "loss"}


def rows(recipe: Recipe, card: Manifest | None, baselines: Baselines) -> Iterator[list[str]]:
    """A line for each number of the report, or for MSE and PSNR where it gives none."""
    shown = f"`{recipe.name}`"
    known = baselines.get(recipe.data, {})
    for reported in REPORTED.get(recipe.name, (Reported({}),)):
        for task, cells in _blocks(card, reported, known):
            named = f"{reported.task}{task}"
            for key, line in cells.items():
                yield [shown, named, _NAMES[key], *line]
                shown = named = ""


def _blocks(
    card: Manifest | None, reported: Reported, known: Mapping[str, Mapping[str, Values]]
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
    if not own(tested):
        yield _in_words(tested), {key: ours[key] + served[key] for key in keys}
        return
    under = known.get(repr(tested), {})
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
    return "" if found is None else _of_seeds(key, found.values, found.spread)


def _of_seeds(key: str, values: Mapping[str, float], spread: Mapping[str, float]) -> str:
    if key not in values:
        return ""
    deviation = f" ± {number(key, spread[key], 2)}" if key in spread else ""
    return number(key, values[key]) + deviation


def replica(name: str, card: Manifest | None, found: Mapping[str, Any]) -> Iterator[list[str]]:
    """A line for each number of the report, or for MSE: by its settings, and by our recipe."""
    shown = f"`{name}`"
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
                _of_seeds(key, row["values"], row["spread"]) or found["died"][-1],
                _measured(ours, key),
            ]  # fmt: skip
            shown = task = ""


def accuracies(name: str, cards: Mapping[str, Manifest]) -> Iterator[list[str]]:
    """A line for each classifier on the latents of a model: the report's, and ours."""
    rows = [s for s in cards[name].scores if s.task == "classify"] if name in cards else []
    ours = {s.note: s for s in rows if (s.subject, s.protocol) == ("model", "report")}
    served = {s.note: s for s in rows if s.protocol == "served"}
    printed = {f"classifier {k}": v for k, v in ACCURACIES.get(name, {}).items()}
    shown = f"`{name}`"
    for note in dict.fromkeys([*printed, *ours]):
        theirs, found = printed.get(note), ours.get(note)
        yield [
            shown, note.removeprefix("classifier "),
            "" if theirs is None else number("accuracy", theirs),
            _measured(found, "accuracy") or MISSING,
            "" if found is None else str(found.seeds),
            "" if found is None or theirs is None
            else change("accuracy", found.values["accuracy"], theirs),
            _measured(served.get(note), "accuracy"),
        ]  # fmt: skip
        shown = ""
