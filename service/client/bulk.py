"""Many files, several requests at a time, with a progress bar; one bad file harms no other."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image as Pillow
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from service.client.errors import AbilityMissing, NotFound, ServiceError, Unreachable
from service.client.parts import Progress as Told
from service.client.shells import AsyncClient
from service.errors import AutoencoderError

T = TypeVar("T")

Group = list[tuple[int, Path]]
"""Files, each with its place among all."""
Work = Callable[[AsyncClient, Group, Told], Awaitable[Sequence[T]]]

# These bound the memory: so many requests at a time, of so many files or pixels.
AT_ONCE = 4
FILES = 32
_PIXELS = 2_000_000
# Of many faults the first few say it.
_TOLD = 20
WRITTEN = {".png", ".jpg", ".jpeg", ".webp"}
READ = WRITTEN | {".bmp", ".tif", ".tiff"}
# Files to whoever reads them, though a folder of that name could be made.
_NOT_WRITTEN = (READ | {".gif", ".npy", ".json", ".csv", ".pdf", ".svg", ".avif"}) - WRITTEN

# No fault of one file: the next would meet the same.
_OF_ALL = (Unreachable, NotFound, AbilityMissing)
_OF_ONE = (ServiceError, OSError, ValueError)


class Usage(AutoencoderError):
    """The command cannot mean what it says; nothing was done."""


@dataclass(frozen=True)
class Report(Generic[T]):
    """What became of the files: results in their order, and what failed, with the reason."""

    done: list[tuple[Path, T]]
    failed: list[tuple[Path, str]]
    seconds: float

    @property
    def status(self) -> int:
        """The exit status."""
        return 1 if self.failed else 0


def console() -> Console:
    """For people, on stderr; stdout is for what a program may read."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def expand(given: Iterable[Path]) -> list[Path]:
    """The files, and in the place of a folder the pictures that lie in it.

    A folder without any stands for itself among them: it fails, and harms no other.

    Raises:
        Usage: there is nothing but such folders.
    """
    files: list[Path] = []
    for path in given:
        inside = _inside(path) if path.is_dir() else []
        files += inside or [path]
    if all(path.is_dir() for path in files):
        where = " or ".join(map(str, files))
        raise Usage(f"no picture lies in {where}: {', '.join(sorted(READ))} are looked for")
    return files


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in READ)


def targets(files: Sequence[Path], out: Path, *, in_place: bool) -> list[Path]:
    """Where the answer to each file is written.

    Raises:
        Usage: two files would become one, an answer would overwrite a file that is read, or
            `out` is a file of a kind that is not written.
    """
    if out.suffix.lower() in _NOT_WRITTEN and not out.is_dir():
        raise Usage(f"{out} is not written: give --out a folder, or a .png, .jpg or .webp")
    if out.suffix.lower() in WRITTEN and not out.is_dir():
        if len(files) > 1:
            raise Usage(f"{len(files)} files do not fit into {out}: give --out a folder")
        written = [out]
    else:
        written = [out / f"{path.stem}.png" for path in files]
    first: dict[Path, Path] = {}
    for path, target in zip(files, written, strict=True):
        if first.setdefault(target, path) != path:
            raise Usage(
                f"{first[target]} and {path} would both become {target}: do them in two runs, "
                "with an --out each"
            )
    # realpath: Path.resolve raises on links in a circle, which are no more than one bad file.
    read = set(map(os.path.realpath, files))
    if not in_place and any(os.path.realpath(target) in read for target in written):
        raise Usage(
            f"--out {out} would overwrite the files that are read: give another, or say --in-place"
        )
    return written


def groups(files: Iterable[Path], *, at_most: int) -> Iterator[Group]:
    """Runs of neighbouring files that may share a request: pictures of one size and kind.

    Then `auto` finds for the group the model that it would find for each. What is no picture as
    far as its header says goes alone, for the service to judge.
    """
    group: Group = []
    kind: object = None
    for place, path in enumerate(files):
        found, pixels = _header(path)
        full = len(group) >= min(at_most, max(1, _PIXELS // pixels))
        if group and (full or found is None or found != kind):
            yield group
            group = []
        group.append((place, path))
        kind = found
    if group:
        yield group


def _header(path: Path) -> tuple[object, int]:
    try:
        with Pillow.open(path) as image:
            return (image.size, image.mode), max(1, image.width * image.height)
    except Exception:  # a decoder fed hostile bytes may raise anything
        return None, 1


def for_each(
    files: Sequence[Path], work: Work[T], *, url: str, timeout: float, doing: str, at_most: int
) -> Report[T]:
    """Does the work on every file, up to `at_most` of them in one request.

    What is wrong with one is told with its name.

    Raises:
        ServiceError: a fault that is no single file's: no service, or no such model.
    """
    return asyncio.run(_for_each(files, work, AsyncClient(url, timeout=timeout), doing, at_most))


async def _for_each(
    files: Sequence[Path], work: Work[T], client: AsyncClient, doing: str, at_most: int
) -> Report[T]:
    waiting = groups(files, at_most=at_most)
    done: dict[int, T] = {}
    failed: dict[int, str] = {}
    started = time.perf_counter()
    terminal = console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    clock = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *clock, console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(doing, total=len(files))

        begun: dict[int, float] = {}  # of groups under way, in files

        def show(group: Group, share: float) -> None:
            begun[group[0][0]] = share * len(group)
            finished = len(done) + len(failed)
            progress.update(task, completed=finished + math.fsum(begun.values()))

        async def do(group: Group) -> None:
            try:
                results = await work(client, group, lambda share: show(group, share))
            except _OF_ALL:
                raise
            except _OF_ONE as error:
                if len(group) > 1:  # one of them is at fault, and only that one fails
                    for each in group:
                        await do([each])
                    return
                ((place, path),) = group
                failed[place] = error.detail if isinstance(error, ServiceError) else str(error)
                if len(failed) <= _TOLD:
                    terminal.print(f"{path}: {failed[place]}", style="red")
            else:
                done.update(zip((place for place, _ in group), results, strict=True))
            begun.pop(group[0][0], None)
            progress.update(task, completed=len(done) + len(failed) + math.fsum(begun.values()))

        async def worker() -> None:
            for group in waiting:  # shared: each worker takes the next
                await do(group)

        try:
            async with client, asyncio.TaskGroup() as workers:
                for _ in range(AT_ONCE):
                    workers.create_task(worker())
        except BaseExceptionGroup as errors:  # the first ends all, and stands for them
            _stopped(terminal, done, files)
            raise errors.exceptions[0] from None
        except asyncio.CancelledError:  # Ctrl-C
            _stopped(terminal, done, files)
            raise
    if len(failed) > _TOLD:
        terminal.print(f"... and {len(failed) - _TOLD} more files that failed", style="red")
    return Report(
        [(files[i], done[i]) for i in sorted(done)],
        [(files[i], failed[i]) for i in sorted(failed)],
        time.perf_counter() - started,
    )


def _stopped(terminal: Console, done: Sized, files: Sized) -> None:
    if done:
        terminal.print(f"stopped after {len(done)} of {len(files)} files", style="red")
