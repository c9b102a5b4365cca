"""Which versions of which models are served: admitted from the models folder, and kept up with it.

What is served changes between two requests and never within one: a request keeps the version
that it started with, and its memory is free when the last such request is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service import folders, manifest
from service.errors import ManifestError, NotFound
from service.lull import Lull
from service.served import Served
from service.settings import Settings

log = logging.getLogger(__name__)

_NEGLIGIBLE = 1e-6  # dB


class Versions:
    """All versions that are served, and the reasons why others are not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A device belongs to one thread: what it captured is run by no other, and while it
        # captures nobody else may ask anything of it.
        threads = settings.threads if settings.device == "cpu" else 1
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._lull = Lull()
        # One tile of a large image at a time: its memory is what counts.
        self._tiling = (
            ThreadPoolExecutor(1, thread_name_prefix="tiling")
            if settings.device == "cpu"
            else self._executor
        )
        self._served: dict[str, dict[int, Served]] = {}
        self.refused: dict[str, str] = {}
        self.unloaded: set[str] = set()
        self.on_gone: Callable[[Served], None] = lambda _: None
        self._changing = asyncio.Lock()
        self._seen: dict[str, folders.State] = {}
        self._missing: set[str] = set()
        self._trouble = ""

    def load(self) -> None:
        """Admits every version in the models folder but those of models in `unloaded`.

        Raises:
            ManifestError: there is none that can be served.
            DeviceError: the device asked for is not there.
        """
        try:
            found = folders.versions(self._settings.models_dir)
        except OSError as error:
            raise ManifestError(
                f"the models folder {self._settings.models_dir} cannot be read: {error.strerror}"
            ) from None
        for key, folder in found.items():
            if folder.parent.name not in self.unloaded:
                self._take(key, self._admitted(key, folder))
        if not self._served and not self.unloaded:
            raise ManifestError(
                f"no model to serve in {self._settings.models_dir}: it must hold NAME/VERSION/"
                f"{manifest.FILE} (refused: {self.refused or 'none'})"
            )

    async def refresh(self) -> None:
        """Follows the models folder: admits what is new or has changed, ends what is gone.

        A version that is refused now, but was served, is served on. A folder must be gone twice
        in a row: one that is being replaced is away for a moment. When all of them are gone, or
        the folder cannot be read, what is served is served on: it is more likely a file system
        that went away than the wish to serve nothing.
        """
        async with self._changing:
            try:
                found, states = await asyncio.to_thread(_seen, self._settings.models_dir)
            except OSError as error:
                self._warn(f"the models folder cannot be read: {error.strerror}")
                return
            for key, folder in found.items():
                if folder.parent.name in self.unloaded:
                    continue
                if states[key] != self._seen.get(key):
                    self._take(key, await asyncio.to_thread(self._admitted, key, folder))
            gone = (self._keys() | self.refused.keys()) - found.keys()
            if gone and not self._keys() - gone:
                self._warn("the models folder has no models any more")
                return
            self._trouble = ""
            for key in gone & self._missing:
                self._end(key, "its folder is gone")
            self._missing = gone

    async def reload(self, name: str) -> None:
        """Admits every version of a model anew from its folder.

        Raises:
            NotFound: there is neither such a folder nor such a model.
            ManifestError: what is refused, and why; the versions that hold are served.
        """
        async with self._changing:
            found = await self._found(name)
            if not found and name not in self._served:
                raise NotFound(f"there is no folder {name[:64]!r} with a version in it")
            self.unloaded.discard(name)
            for key in self._keys() | self.refused.keys():
                if key.partition("/")[0] == name and key not in found:
                    self._end(key, "its folder is gone")
            for key, folder in found.items():
                self._take(key, await asyncio.to_thread(self._admitted, key, folder))
            refused = {key: self.refused[key] for key in found if key in self.refused}
        if refused:
            raise ManifestError("; ".join(f"{key} {why}" for key, why in refused.items()))

    async def unload(self, name: str) -> None:
        """Stops serving a model until it is loaded again.

        Raises:
            NotFound: there is neither such a folder nor such a model.
        """
        async with self._changing:
            if name not in self._served and not await self._found(name):
                raise NotFound(f"there is no model {name[:64]!r}")
            self.unloaded.add(name)
            for key in self._keys() | self.refused.keys():
                if key.partition("/")[0] == name:
                    self._end(key, "it was unloaded")

    def folders(self) -> Iterable[str]:
        """Every NAME/VERSION in the models folder, served or not; none if it cannot be read."""
        try:
            return folders.versions(self._settings.models_dir).keys()
        except OSError:
            return ()

    def close(self) -> None:
        """Ends the threads and lets go of every model; who holds the application may hold it on."""
        for executor in (self._executor, self._tiling):
            executor.shutdown(wait=False, cancel_futures=True)
        self._served.clear()
        self._changed()

    async def _found(self, name: str) -> dict[str, Path]:
        try:
            found = await asyncio.to_thread(folders.versions, self._settings.models_dir)
        except OSError as error:
            raise ManifestError(f"the models folder cannot be read: {error.strerror}") from None
        return {key: folder for key, folder in found.items() if folder.parent.name == name}

    def _admitted(self, key: str, folder: Path) -> Served | ManifestError:
        """The same as `_admit`, in the device's thread if there is a device."""
        if self._settings.device == "cpu":
            return self._admit(key, folder)
        return self._executor.submit(self._admit, key, folder).result()

    def _admit(self, key: str, folder: Path) -> Served | ManifestError:
        """Reads and tries one version; what is wrong with it, if it must not be served."""
        before = folders.state(folder)
        self._seen[key] = before
        try:
            served = Served(
                folder, self._executor, self._settings, tiling=self._tiling, lull=self._lull
            )
            self._check_quality(served)
        except ManifestError as error:
            return error
        except Exception:
            self._seen.pop(key)  # no fault of the version's: it is tried again
            raise
        if folders.state(folder) != before:
            self._seen.pop(key)  # so that it is tried again
            return ManifestError("its files changed while they were read")
        return served

    def _check_quality(self, served: Served) -> None:
        """Refuses a version that is clearly worse than an earlier one that is served."""
        card = served.manifest
        for version, other in self._served.get(card.name, {}).items():
            earlier = other.manifest
            same_test = (earlier.dataset, earlier.corruption) == (card.dataset, card.corruption)
            if version >= card.version or not same_test:
                continue
            for task in ("denoise", "reconstruct"):
                loss = earlier.served_psnr(task) - card.served_psnr(task)
                if loss > self._settings.max_quality_loss + _NEGLIGIBLE:
                    raise ManifestError(
                        f"its PSNR to {task} is {card.served_psnr(task):.2f} dB, {loss:.2f} below "
                        f"version {version}'s: more than AUTOENCODER_MAX_QUALITY_LOSS="
                        f"{self._settings.max_quality_loss:g}"
                    )

    def _take(self, key: str, outcome: Served | ManifestError) -> None:
        """Serves what was admitted, in place of what was served by that key."""
        if isinstance(outcome, Served):
            card = outcome.manifest
            self._served.setdefault(card.name, {})[card.version] = outcome
            self.refused.pop(key, None)
            self._changed()
            log.debug("%s is served", key)
            return
        self.refused[key] = str(outcome)
        kept = "; the one that was served is served on" if key in self._keys() else ""
        log.error("%s is not served: %s%s", key, outcome, kept)

    def _end(self, key: str, why: str) -> None:
        """Serves a version no more."""
        name, _, version = key.partition("/")
        self.refused.pop(key, None)
        self._seen.pop(key, None)
        if key not in self._keys():
            return
        self._missing.discard(key)
        gone = self._served[name].pop(int(version))
        self._changed()
        if not self._served[name]:
            del self._served[name]
        # What an earlier version kept from being served may be served without it.
        for other in [k for k in self.refused if k.startswith(f"{name}/")]:
            self._seen.pop(other, None)
        log.info("%s is served no more: %s", key, why)
        self.on_gone(gone)

    def _changed(self) -> None:
        """What is served is not what it was."""

    def _keys(self) -> set[str]:
        return {f"{name}/{v}" for name, versions in self._served.items() for v in versions}

    def _warn(self, trouble: str) -> None:
        if trouble != self._trouble:  # once, not at every look
            log.error("%s: what is served is served on", trouble)
        self._trouble = trouble


def _seen(models: Path) -> tuple[dict[str, Path], dict[str, folders.State]]:
    """The versions in the models folder, and the state of each: all by one hop to a thread."""
    found = folders.versions(models)
    return found, {key: folders.state(folder) for key, folder in found.items()}
