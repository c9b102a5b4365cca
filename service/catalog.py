"""The models folder: admits models that keep their promises, and picks the one to use."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from service import manifest
from service.errors import AbilityMissing, ManifestError, NotFound, Unprocessable
from service.manifest import Ability
from service.served import Served
from service.settings import Settings

log = logging.getLogger(__name__)

Array = NDArray[Any]
AUTO = "auto"
_REMEMBERED = 1024  # choices; callers make up the sizes of their images


class Catalog:
    """All models that are served, and the reasons why others are not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="inference")
        self._served: dict[str, dict[int, Served]] = {}
        self.refused: dict[str, str] = {}
        self._changing = asyncio.Lock()
        # What auto chose, until the models change: ranking them all takes longer than a small run.
        self._chosen: dict[tuple[object, ...], Served] = {}

    def load(self) -> None:
        """Admits every NAME/VERSION in the models folder.

        Raises:
            ManifestError: there is none that can be served.
            DeviceError: the device asked for is not there.
        """
        self._chosen.clear()
        self._served, self.refused = self._admit(self.folders())
        if not self._served:
            raise ManifestError(
                f"no model to serve in {self._settings.models_dir}: it must hold NAME/VERSION/"
                f"{manifest.FILE} (refused: {self.refused or 'none'})"
            )

    async def reload(self, name: str) -> None:
        """Admits a model anew from its folder, in another thread, and swaps its versions at once.

        Requests under way finish with what they started with. A version that is refused now, but
        was served, is served on; one whose folder is gone is not.

        Raises:
            NotFound: there is neither such a folder nor such a model.
            ManifestError: what is refused, and why; the versions that hold are served.
            DeviceError: the device is not there; nothing has changed.
        """
        async with self._changing:
            found = await asyncio.to_thread(self.folders)
            folders = [folder for folder in found if folder.parent.name == name]
            before = self._served.get(name, {})
            if not folders and not before:
                raise NotFound(f"there is no folder {name[:64]!r} with a version in it")
            served, refused = await asyncio.to_thread(self._admit, folders)
            kept = {v: old for v, old in before.items() if old.manifest.key in refused}
            versions = {**kept, **served.get(name, {})}
            self._forget(name)
            self.refused |= refused
            if versions:
                self._served[name] = versions
        if refused:
            raise ManifestError("; ".join(f"{key} {why}" for key, why in refused.items()))

    async def unload(self, name: str) -> list[Served]:
        """Stops serving a model until it is loaded again; gives the versions that were served.

        Its memory is free when the requests under way are answered.

        Raises:
            NotFound: there is neither such a folder nor such a model.
        """
        async with self._changing:
            folders = await asyncio.to_thread(self.folders)
            gone = list(self._served.get(name, {}).values())
            if not gone and all(folder.parent.name != name for folder in folders):
                raise NotFound(f"there is no model {name[:64]!r}")
            self._forget(name)
        return gone

    def folders(self) -> list[Path]:
        """Every NAME/VERSION in the models folder, served or not."""
        found = sorted(self._settings.models_dir.glob("*/*/"))
        return [f for f in found if not f.name.startswith(".") and f.parent.name[0] != "."]

    def _admit(
        self, folders: Sequence[Path]
    ) -> tuple[dict[str, dict[int, Served]], dict[str, str]]:
        """The versions that may be served, by name, and why the others may not, by NAME/VERSION."""
        admitted: dict[str, dict[int, Served]] = {}
        refused: dict[str, str] = {}
        for folder in folders:
            key = f"{folder.parent.name}/{folder.name}"
            try:
                served = Served(folder, self._executor, self._settings)
            except ManifestError as error:
                refused[key] = str(error)
                log.error("%s is not served: %s", key, error)
            else:
                admitted.setdefault(served.manifest.name, {})[served.manifest.version] = served
        return admitted, refused

    def _forget(self, name: str) -> None:
        self._chosen.clear()
        self._served.pop(name, None)
        for key in [key for key in self.refused if key.startswith(f"{name}/")]:
            del self.refused[key]

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def __iter__(self) -> Iterator[Served]:
        """Every served version, by name, the highest version of each first."""
        for name in sorted(self._served):
            for version in sorted(self._served[name], reverse=True):
                yield self._served[name][version]

    def get(self, name: str, version: int | None = None) -> Served:
        """The model of that name; the highest version unless one is given.

        Raises:
            NotFound: no such model or version.
        """
        versions = self._served.get(name)
        if versions is None:
            close = difflib.get_close_matches(name.lower(), self._served, n=3)
            known = f"did you mean {' or '.join(close)}?" if close else "see GET /models"
            raise NotFound(f"there is no model {name[:64]!r}: {known}", extra={"models": close})
        if version is None:
            return versions[max(versions)]
        if version not in versions:
            there = self.versions(name)
            raise NotFound(
                f"{name} has no version {version}: there is {', '.join(map(str, there))}",
                extra={"versions": there},
            )
        return versions[version]

    def versions(self, name: str) -> list[int]:
        """The served versions of a model, rising."""
        return sorted(self._served.get(name, ()))

    def ranking(self, ability: Ability) -> list[Served]:
        """The models with that ability, best first: the order in which `auto` tries them.

        To denoise, one that learned to comes before one that did not; for anything else one with
        a bottleneck before one without. Then one proven on more test images (all ten digits
        before five), then the highest PSNR, as served, at what it was trained for.
        """
        able = [s for s in self._highest() if ability in s.manifest.abilities]
        task: Literal["denoise", "reconstruct"] = (
            "denoise" if ability == "denoise" else "reconstruct"
        )

        def merit(served: Served) -> tuple[bool, int, float, str]:
            card = served.manifest
            made_for_it = card.corruption is not None
            if task == "reconstruct":
                made_for_it = "encode" in card.abilities
            return not made_for_it, -card.test_images, -card.served_psnr(task), card.name

        return sorted(able, key=merit)

    def choose(
        self,
        ability: Ability,
        *,
        name: str = AUTO,
        version: int | None = None,
        shapes: Sequence[tuple[int, ...]] = (),
        resizable: bool = False,
    ) -> Served:
        """The model asked for, or with `auto` the best that takes images of `shapes` [H,W,C].

        Raises:
            NotFound: no such model or version.
            AbilityMissing: the model asked for, or every model, lacks the ability.
            Unprocessable: no model takes images of these sizes as they are; or a version of `auto`.
        """
        if name != AUTO:
            served = self.get(name, version)
            if ability not in served.manifest.abilities:
                can = ", ".join(served.manifest.abilities)
                others = [s.manifest.name for s in self.ranking(ability)]
                raise AbilityMissing(
                    f"{name} cannot {ability}; it can {can}",
                    extra={"abilities": served.manifest.abilities, "models": others},
                )
            return served
        if version is not None:
            raise Unprocessable(
                f"version={version} is of no one model: name the model too, or leave both to auto"
            )
        key = (ability, resizable, *sorted(Counter(shapes).items()))
        chosen = self._chosen.get(key)
        if chosen is None:
            chosen = self._best(ability, shapes, resizable=resizable)
            if len(self._chosen) < _REMEMBERED:
                self._chosen[key] = chosen
        return chosen

    def _best(
        self, ability: Ability, shapes: Sequence[tuple[int, ...]], *, resizable: bool
    ) -> Served:
        """The best that can do it and takes images of these shapes. Raises as `choose` does."""
        ranking = self.ranking(ability)
        if not ranking:
            raise AbilityMissing(f"no model that is served here can {ability}")
        fitting = [s for s in ranking if all(s.manifest.image.fits(*shape[:2]) for shape in shapes)]
        if not fitting and not resizable:
            sizes = sorted({str(s.manifest.image) for s in ranking})
            sent = dict.fromkeys(f"{width}x{height}" for height, width, _ in shapes)
            together = " together" if len(sent) > 1 else ""
            raise Unprocessable(
                f"no model that can {ability} takes {' and '.join(list(sent)[:3])} images"
                f"{together} as they are: send "
                f"{' or '.join(sizes)}, or ask for fit=resize",
                extra={"sizes": sizes},
            )
        # A stable sort: the right number of channels first, then a model tested at this very size.
        return min(fitting or ranking, key=lambda served: _distance(served, shapes))

    def _highest(self) -> Iterator[Served]:
        return (versions[max(versions)] for versions in self._served.values())


def _distance(served: Served, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """How many images have other channels than the model's, and another size than its test's."""
    own = served.golden.image.shape
    other_channels = sum(shape[2] != own[2] for shape in shapes)
    return other_channels, sum(shape[:2] != own[:2] for shape in shapes)
