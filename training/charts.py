"""Charts with matplotlib: curves, scatter plots and confusion matrices, all in one style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

# Typed loosely: matplotlib's own type is a list of every setting's name.
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e2",
    "axes.edgecolor": "#8a8e94",
    "figure.facecolor": "#fafaf8",
    "axes.facecolor": "#fafaf8",
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
# Okabe and Ito: told apart by those who see few colours too.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#7a5c00", "#000000", "#999999", "#b2abd2",
)  # fmt: skip
_DPI = 110


@dataclass(frozen=True)
class Curve:
    """One line of a chart; `style` as matplotlib has it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "-"


def curves(path: Path, lines: Sequence[Curve], x: str, y: str, *, log: bool = True) -> None:
    """Lines on one pair of axes."""
    with mpl.rc_context(_STYLE):
        figure = Figure((6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        _draw(axes, lines, log=log)
        axes.set(xlabel=x, ylabel=y)
        axes.legend()
        _save(figure, path)


def panels(path: Path, lines: Mapping[str, Sequence[Curve]], x: str, y: str) -> None:
    """A small chart for each title, side by side."""
    columns = min(4, len(lines))
    rows = math.ceil(len(lines) / columns)
    with mpl.rc_context(_STYLE):
        figure = Figure((max(2.6 * columns, 3.6), 2.2 * rows + 0.3), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (title, some) in zip(grid.flat, lines.items(), strict=False):
            _draw(axes, some)
            axes.set_title(title)
            axes.tick_params(axis="y", which="both", labelsize=7)
        for axes in grid.flat[len(lines) :]:
            axes.set_axis_off()
        grid[0, 0].legend()
        figure.supxlabel(x, fontsize=9)
        figure.supylabel(y, fontsize=9)
        _save(figure, path)


def scatter(
    path: Path, places_N2: NDArray[Any], labels: NDArray[Any], names: Sequence[str]
) -> None:
    """Points in the colour of their class."""
    with mpl.rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure((5.6, 4.8), layout="constrained")
        axes = figure.subplots()
        for k, name in enumerate(names):
            mine = places_N2[labels == k]
            axes.scatter(mine[:, 0], mine[:, 1], s=5, color=COLOURS[k % 10], label=name, lw=0)
        axes.set_axis_off()
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)
        _save(figure, path)


def confusion(path: Path, counts_KK: NDArray[Any], names: Sequence[str], title: str) -> None:
    """How often class `row` was told to be class `column`."""
    with mpl.rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure((3.6, 3.6), layout="constrained")
        axes = figure.subplots()
        # The diagonal holds nearly all, so colour is by the share of its row, on a root scale.
        shares = np.sqrt(counts_KK / counts_KK.sum(1, keepdims=True))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts_KK.shape):
            colour = "white" if shares[row, column] > 0.6 else "#181a1e"
            number = f"{counts_KK[row, column]}"
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="told", ylabel="true", title=title)
        _save(figure, path)


class _Plain(LogFormatter):
    """0.02 and not 2 x 10^-2, where matplotlib has room for a label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _draw(axes: Axes, lines: Sequence[Curve], *, log: bool = True) -> None:
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_Plain())
        axes.yaxis.set_minor_formatter(_Plain(minor_thresholds=(2, 0.5)))
    for place, line in enumerate(lines):
        marker = "o" if len(line.x) < 15 else ""
        axes.plot(
            line.x, line.y, line.style, color=COLOURS[place % 10], label=line.label,
            marker=marker, ms=3, lw=1.4,
        )  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of the library, so that the same numbers give the same bytes.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
