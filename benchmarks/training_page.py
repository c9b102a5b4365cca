"""The page of the training benchmark, from its figures."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.ways import OURS, PLAIN, REPORTS

_R2, _R4 = (f"Report {name}'s network (`{{network}}`), batch {{batch}}" for name in ("R2", "R4"))
_TITLES = {
    "convolutional": _R2,
    "dense": _R4,
    "convolutional-all-cores": _R2 + ", on {threads} threads",
    "dense-all-cores": _R4 + ", on {threads} threads",
}
_MANY = ("many-8", "many-140")
_HEAD = """# Ways to train, side by side

    python -m benchmarks.training

The same architecture, weights to begin with, data, Adam at a constant rate, epochs and seeds; the
ways take turns, and each round is a seed. Images per second of the processor's time on one thread,
or of the wall's time where a title names more, start and validation after each epoch included: the
median of the rounds, with their range. The error is that of the best epoch on 2,000 images kept
apart, mean and deviation over the seeds. pythae's trainer runs our network, with the torch that the
others have. A loop's share is what its images per second take of multiplications and additions,
against the best rate of matrix products of as many threads at the same precision, measured in the
same run; validation and what is not multiplied count for nothing.
"""


def write(figures: dict[str, Any]) -> str:
    """The page, of those parts that have been measured."""
    parts = [_HEAD]
    rates = figures.get("rates")
    if rates:
        parts.append(
            "One thread multiplies matrices of 1024 x 1024 at "
            f"{rates['float32'] / 1e9:.0f} GFLOP/s in float32 and at "
            f"{rates['bfloat16'] / 1e9:.0f} in bfloat16. {_where(rates)}\n"
        )
    parts += [_table(name, figures[name], rates) for name in _TITLES if name in figures]
    measured = {name: figures[name] for name in _MANY if name in figures}
    if measured:
        parts.append(_many(measured, rates))
    if "number" in figures:
        parts.append(_number(figures["number"], figures.get("convolutional")))
    if "fifty" in figures:
        parts.append(_fifty(figures["fifty"], figures.get("dense")))
    return "\n".join(parts)


def _where(found: dict[str, Any]) -> str:
    return (
        f"({found['processor']}, torch {found['torch']}, commit {found['commit']}, "
        f"{found['date']}, load {found['load']:.1f} at the end.)"
    )


def _table(name: str, found: dict[str, Any], rates: dict[str, Any] | None) -> str:
    part, ways = found["part"], found["ways"]
    speeds = {way: statistics.median(m["speeds"]) for way, m in ways.items() if m.get("speeds")}
    lines = [
        "## " + _TITLES[name].format(**part) + "\n",
        f"{part['epochs']} epoch{'s' * (part['epochs'] > 1)} of {part['images']:,} digits, "
        f"{part['seeds']} seeds, {found['operations'] / 1e6:.2f} million operations an image. "
        f"{_where(found)}\n",
        f"| way | images/s | of the report's | of {PLAIN} | of {OURS} | share | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, measured in ways.items():
        if way not in speeds:
            continue
        low, high = min(measured["speeds"]), max(measured["speeds"])
        ratios = [speeds[way] / speeds[other] for other in (REPORTS, PLAIN, OURS)]
        share = _share(way, speeds[way], found, rates)
        cells = [way, f"{speeds[way]:,.0f} ({low:,.0f} to {high:,.0f})"]
        cells += [f"{ratio:.2f}" for ratio in ratios]
        lines.append("| " + " | ".join([*cells, share, _error(measured["errors"])]) + " |")
    missing = {way: m["missing"] for way, m in ways.items() if "missing" in m}
    lines += [f"\n{way}: not measured: `{why}`" for way, why in missing.items()]
    return "\n".join(lines) + "\n"


def _many(measured: dict[str, Any], rates: dict[str, Any] | None) -> str:
    lines = [
        "## Many networks at once\n\nAs in a search: networks that differ by their seeds, one "
        "after the other by training/loop.py or as one ensemble, on one thread. What an ensemble "
        "compiles first counts.\n"
    ]
    for found in measured.values():
        part, ways = found["part"], found["ways"]
        speeds = {way: statistics.median(each["speeds"]) for way, each in ways.items()}
        rounds = f", {part['seeds']} rounds" * (part["seeds"] > 1)
        lines += [
            f"{part['networks']} of `{part['network']}`, batch {part['batch']}, {part['epochs']} "
            f"epoch{'s' * (part['epochs'] > 1)} of {part['images']:,} digits each{rounds}. "
            f"{_where(found)}\n",
            f"| way | ms a network's epoch | images/s | of {OURS} | share | error |",
            "|---|---|---|---|---|---|",
        ]
        for way, speed in speeds.items():
            cells = [way, f"{1000 * part['images'] / speed:,.0f}", f"{speed:,.0f}",
                     f"{speed / speeds[OURS]:.2f}", _share(way, speed, found, rates)]  # fmt: skip
            lines.append("| " + " | ".join([*cells, _error(ways[way]["errors"])]) + " |")
        lines.append("")
    return "\n".join(lines)


def _share(way: str, speed: float, found: dict[str, Any], rates: dict[str, Any] | None) -> str:
    """What is multiplied, of what so many threads could."""
    if not rates:
        return "-"
    possible = found["part"]["threads"] * rates["bfloat16" if "bfloat16" in way else "float32"]
    return f"{speed * found['operations'] / possible:.0%}"


def _error(errors: list[float]) -> str:
    spread = f" ± {statistics.stdev(errors):.5f}" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.5f}{spread}"


def _number(found: dict[str, Any], beside: dict[str, Any] | None) -> str:
    recipe = (
        f"`mnist-conv-6` with {found['of']} epochs in place of 40, in bfloat16, on one thread: "
        f"{found['whole']:.0f} s, and a test error of {found['test']:.5f}."
    )
    if found["seconds"] is None:
        reached = f"It did not come to the {found['report']:.5f} of report R2 on validation images."
    else:
        reached = (
            f"On the validation images it came to the {found['report']:.5f} of report R2 after "
            f"{found['epochs']:.0f} epochs and {found['seconds']:.0f} s."
        )
    lines = [f"## Time to report R2's number\n\n{recipe} {reached}"]
    if beside:
        speed = statistics.median(beside["ways"][REPORTS]["speeds"])
        lines.append(
            f"The report's {found['report_images']:,} images (80 epochs) would take its own style "
            f"of loop {found['report_images'] / speed:.0f} s at the rate in the table above."
        )
    return "\n".join([*lines, _where(found)]) + "\n"


def _fifty(found: dict[str, Any], beside: dict[str, Any] | None) -> str:
    lines = [
        f"## Report R4's {found['epochs']} epochs\n\n`mnist-mlp-8` in bfloat16 on "
        f"{found['threads']} threads: {found['seconds']:.0f} s, and a test error of "
        f"{found['test']:.5f}."
    ]
    if beside:
        speed = statistics.median(beside["ways"][REPORTS]["speeds"])
        lines.append(
            f"The report's style of loop would take {found['images'] / speed:.0f} s on one thread, "
            "at the rate in the table above."
        )
    return "\n".join([*lines, _where(found)]) + "\n"
