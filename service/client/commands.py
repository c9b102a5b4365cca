"""What each command of the client does; `service.arguments` says what it takes."""

from __future__ import annotations

import asyncio
import csv
import json
import math
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from service.client import bulk, latent_files
from service.client.bulk import Group, Report, Usage, Work, for_each
from service.client.parts import Progress as Told
from service.client.results import (
    Denoised,
    Floats,
    Images,
    ModelName,
    ModelSummary,
    Reconstructed,
)
from service.client.shells import AsyncClient, Client

T = TypeVar("T")

_SHEETS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".npy", ""}


def run(options: Namespace) -> int:
    """Runs one command; the exit status is 1 if any file failed.

    Raises:
        AutoencoderError, OSError: nothing came of it; the message is for the person who asked.
    """
    command: Callable[[Namespace], int] = globals()[f"_{options.command}"]
    return command(options)


def _denoise(options: Namespace) -> int:
    originals: Path | None = options.references
    if originals and options.simulate:
        raise Usage("--simulate takes the files as clean: give no --references with it")
    if options.scores and not originals and not options.simulate:
        raise Usage("--scores needs --references FOLDER to score against, or --simulate")

    async def call(client: AsyncClient, group: Group, told: Told) -> Denoised:
        paths = [path for _, path in group]
        return await client.denoise(
            paths,
            **_choice(options),
            simulate=options.simulate,
            seed=None if options.seed is None else options.seed + group[0][0],
            references=originals and [originals / path.name for path in paths],
            progress=told if len(group) == 1 else None,  # large pictures go alone
        )

    # One file a request where noise is made: a file's is its own then, whatever lies beside it.
    return _rewritten(options, call, at_most=1 if options.simulate else bulk.FILES)


def _reconstruct(options: Namespace) -> int:
    async def call(client: AsyncClient, group: Group, _: Told) -> Reconstructed:
        return await client.reconstruct([path for _, path in group], **_choice(options))

    return _rewritten(options, call)


def _rewritten(
    options: Namespace,
    call: Callable[[AsyncClient, Group, Told], Awaitable[Denoised | Reconstructed]],
    *,
    at_most: int = bulk.FILES,
) -> int:
    """Pictures to pictures; only their scores are kept in memory."""
    files = bulk.expand(options.files)
    targets = bulk.targets(files, options.out, in_place=options.in_place)
    targets[0].parent.mkdir(parents=True, exist_ok=True)

    async def work(client: AsyncClient, group: Group, told: Told) -> list[dict[str, Any]]:
        made = await call(client, group, told)
        await asyncio.to_thread(_save, made, [targets[place] for place, _ in group])
        rows = zip(group, _scores(made), strict=True)
        return [{"file": str(path), "model": str(made.model), **row} for (_, path), row in rows]

    report = _for_each(options, files, work, at_most)
    rows = [row for _, row in report.done]
    if options.scores and rows:
        with options.scores.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    means = [_mean([row.get(name) for row in rows]) for name in ("psnr_before", "psnr")]
    said = " -> ".join(f"{mean:.2f}" for mean in means if mean is not None)
    _summarise(report, {row["model"] for row in rows}, f"PSNR {said} dB" if said else "")
    return report.status


def _save(made: Images, targets: Sequence[Path]) -> None:
    for place, target in enumerate(targets):
        target.write_bytes(made.file(place, target.suffix.lower()))


def _encode(options: Namespace) -> int:
    _check_suffix(options.out, latent_files.SUFFIXES)
    as_json = options.out.suffix == ".json"
    models: set[ModelName] = set()

    async def work(client: AsyncClient, group: Group, _: Told) -> list[latent_files.Row]:
        paths = [path for _, path in group]
        made = await client.encode(paths, **_choice(options), log_variances=as_json)
        models.add(made.model)
        nothing: list[Floats | None] = [None] * len(group)
        return list(zip(made.latents, made.log_variances or nothing, strict=True))

    report = _for_each(options, bulk.expand(options.files), work)
    if len(models) > 1:
        names = " and ".join(sorted(map(str, models)))
        raise Usage(f"{names} answered: name one of them with --model")
    for model in models:
        latent_files.write(options.out, model, report.done)
    if report.failed and not as_json:
        bulk.console().print(f"{options.out} has rows for the files that were read, in their order")
    _summarise(report, set(map(str, models)))
    return report.status


def _decode(options: Namespace) -> int:
    _check_suffix(options.out, _SHEETS)
    _check_suffix(options.latents, latent_files.SUFFIXES)
    rows, maker = latent_files.read(options.latents)
    model, version = options.model, options.version
    if model == "auto" and maker:
        model, version = maker.name, maker.version
    with _client(options) as client:
        made = client.decode(rows, model=model, version=version)
    return _written(made.save(options.out), f"{len(made)} images by {made.model}")


def _interpolate(options: Namespace) -> int:
    _check_suffix(options.out, _SHEETS)
    ends = options.first, options.second
    with _client(options) as client:
        made = client.interpolate(*ends, **_choice(options), steps=options.steps, path=options.path)
    saved = made.save(options.out, columns=len(made))
    return _written(saved, f"{len(made)} images by {made.model}")


def _sample(options: Namespace) -> int:
    _check_suffix(options.out, _SHEETS)
    with _client(options) as client:
        made = client.sample(
            options.count,
            seed=options.seed,
            temperature=options.temperature,
            prior=options.prior,
            model=options.model,
            version=options.version,
        )
    said = f"{len(made)} images by {made.model}, --seed {made.seed} repeats them"
    return _written(made.save(options.out), said)


def _classify(options: Namespace) -> int:
    models: set[str] = set()

    async def work(client: AsyncClient, group: Group, _: Told) -> list[list[tuple[float, str]]]:
        found = await client.classify([path for _, path in group], **_choice(options))
        models.add(str(found.model))
        named = [zip(row.tolist(), found.classes, strict=True) for row in found.probabilities]
        return [sorted(row, reverse=True)[: options.top] for row in named]

    report = _for_each(options, bulk.expand(options.files), work)
    for path, ranked in report.done:
        for probability, name in ranked:
            print(path, name, f"{probability:.4f}", sep="\t")
    _summarise(report, models)
    return report.status


def _models(options: Namespace) -> int:
    with _client(options) as client:
        if options.name:
            print(client.model(options.name).manifest.model_dump_json(indent=1))
            return 0
        served = client.models()
    if options.json:
        print(json.dumps(asdict(served), default=lambda score: score.model_dump(), indent=1))
        return 0
    table = Table("model", "takes", "denoise", "reconstruct", "can", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for model in served:
        quality = [_decibels(model, task) for task in ("denoise", "reconstruct")]
        key = f"{model.name}/{model.version}"
        table.add_row(key, model.image, *quality, " ".join(model.abilities))
    # Lines in a file or a pipe are as long as they need to be.
    out = Console()
    Console(width=None if out.is_terminal else 200).print(table)
    for name, why in served.refused.items():
        bulk.console().print(f"{name} is not served: {why}")
    return 0


def _decibels(model: ModelSummary, task: str) -> str:
    """PSNR on the test set, as served, of what the model learned to undo where that is known."""
    rows = [s for s in model.scores if (s.subject, s.task, s.protocol) == ("model", task, "served")]
    own = [s for s in rows if s.corruption == model.corruption]
    measured = [s.values["psnr"] for s in own or rows if "psnr" in s.values]
    return f"{max(measured):.2f} dB" if measured else ""


def _client(options: Namespace) -> Client:
    return Client(options.url, timeout=options.timeout)


def _choice(options: Namespace) -> dict[str, Any]:
    return {"model": options.model, "version": options.version, "fit": options.fit}


def _for_each(
    options: Namespace, files: Sequence[Path], work: Work[T], at_most: int = bulk.FILES
) -> Report[T]:
    return for_each(
        files,
        work,
        url=options.url,
        timeout=options.timeout,
        doing=options.command,
        at_most=at_most,
    )


def _scores(made: Denoised | Reconstructed) -> list[dict[str, float | None]]:
    """The quality of each image, as columns of a table."""
    if isinstance(made, Denoised) and made.quality:
        pairs = zip(made.quality.before.per_image, made.quality.after.per_image, strict=True)
        return [
            {f"{name}_before": value for name, value in asdict(before).items()} | asdict(after)
            for before, after in pairs
        ]
    if isinstance(made, Reconstructed) and made.quality:
        rows = zip(made.quality.per_image, made.quality.anomaly_percentile, strict=True)
        return [{**asdict(scores), "anomaly_percentile": place} for scores, place in rows]
    return [{} for _ in made]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _check_suffix(path: Path, known: set[str]) -> None:
    if path.suffix.lower() not in known:
        endings = ", ".join(sorted(suffix or "a folder" for suffix in known))
        raise Usage(f"{path} must end in one of: {endings}")


def _summarise(report: Report[Any], models: set[str], more: str = "") -> None:
    count, rate = len(report.done), len(report.done) / report.seconds
    said = (
        f"{count} of {count + len(report.failed)} images in {report.seconds:.1f} s ({rate:.0f}/s)"
    )
    by = f", by {' and '.join(sorted(models))}" if models else ""
    failed = f"; {len(report.failed)} failed" if report.failed else ""
    bulk.console().print(f"{said}{by}{failed}{f'; {more}' if more else ''}")


def _written(paths: Sequence[Path], said: str) -> int:
    where = paths[0] if len(paths) == 1 else paths[0].parent
    bulk.console().print(f"{where}: {said}")
    return 0
