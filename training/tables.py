"""How tables and their numbers are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def number(key: str, value: float, digits: int = 4) -> str:
    """A number as its measure is read: decibels to two places, errors to four digits."""
    if key in ("accuracy", "validation"):
        return f"{100 * value:.2f} %"
    if key in ("psnr", "snr"):
        return f"{value:.2f}"
    if key == "ssim":
        return f"{value:.3f}"
    return f"{value:.{digits}g}"


def of_seeds(key: str, values: Mapping[str, float], spread: Mapping[str, float]) -> str:
    """A mean with its deviation, where there were several seeds; nothing if it was not measured."""
    if key not in values:
        return ""
    deviation = f" ± {number(key, spread[key], 2)}" if key in spread else ""
    return number(key, values[key]) + deviation


def change(key: str, ours: float, theirs: float) -> str:
    """Ours against theirs: per cent for errors, the plain difference for the rest."""
    if key in ("mse", "loss"):
        return f"{100 * (ours / theirs - 1):+.0f} %"
    if key == "accuracy":
        return f"{100 * (ours - theirs):+.2f}"
    return f"{ours - theirs:+.3f}" if key == "ssim" else f"{ours - theirs:+.2f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, with a line after it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
