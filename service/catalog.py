"""The models that are served, and the choice of the one to use."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from service.corruption import Damage
from service.errors import AbilityMissing, NotFound, Unprocessable
from service.manifest import Ability, Manifest
from service.served import Served
from service.settings import Settings
from service.versions import Versions

Array = NDArray[Any]
AUTO = "auto"
_REMEMBERED = 1024  # choices; callers make up the sizes of their images


class Catalog(Versions):
    """The versions that are served, and which of them to use."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        # What was chosen, until the models change: ranking them all takes longer than a small run.
        self.remembered: dict[tuple[object, ...], Served] = {}

        self._tops: dict[str, Served] = {}  # the highest versions of those that were asked for

    def _changed(self) -> None:
        self.remembered.clear()
        self._tops.clear()

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
        if version is None and (top := self.highest(name)):
            return top
        versions = self._served.get(name)
        if versions is None:
            close = difflib.get_close_matches(name.lower(), self._served, n=3)
            known = f"did you mean {' or '.join(close)}?" if close else "see GET /models"
            raise NotFound(f"there is no model {name[:64]!r}: {known}", extra={"models": close})
        if version not in versions:
            there = self.versions(name)
            raise NotFound(
                f"{name} has no version {version}: there is {', '.join(map(str, there))}",
                extra={"versions": there},
            )
        return versions[version]

    def highest(self, name: str) -> Served | None:
        """The highest served version of a model, if there is any."""
        top = self._tops.get(name)
        if top is None and (versions := self._served.get(name)):
            top = self._tops[name] = versions[max(versions)]
        return top

    def versions(self, name: str) -> list[int]:
        """The served versions of a model, rising."""
        return sorted(self._served.get(name, ()))

    def ranking(self, ability: Ability, undoing: Damage = "gaussian") -> list[Served]:
        """The models with that ability, best first: the order in which `auto` tries them.

        To denoise, one that learned to undo that kind of damage comes before one that learned
        another, and that before one that learned none; for anything else one with a bottleneck
        comes before one without. Then one proven on more test images (all ten digits
        before five), then the highest PSNR, as served, at what it was trained for; to classify,
        the highest accuracy.
        """
        able = [s for s in self._highest() if ability in s.manifest.abilities]
        task: Literal["denoise", "reconstruct"] = (
            "denoise" if ability == "denoise" else "reconstruct"
        )

        def merit(served: Served) -> tuple[int, int, float, str]:
            card = served.manifest
            classifies = ability == "classify"
            quality = card.served_accuracy() if classifies else card.served_psnr(task)
            return _strangeness(ability, card, undoing), -card.test_images, -quality, card.name

        return sorted(able, key=merit)

    def choose(
        self,
        ability: Ability,
        *,
        name: str = AUTO,
        version: int | None = None,
        shapes: Sequence[tuple[int, ...]] = (),
        resizable: bool = False,
        undoing: Damage = "gaussian",
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
                encodes = "encode" in served.manifest.abilities
                why = "" if encodes else " (it has no bottleneck, and so no latents)"
                raise AbilityMissing(
                    f"{name} cannot {ability}{why}; it can {can}",
                    extra={"abilities": served.manifest.abilities, "models": others},
                )
            return served
        if version is not None:
            raise Unprocessable(
                f"version={version} is of no one model: name the model too, or leave both to auto"
            )
        key = (ability, undoing, resizable, *sorted(Counter(shapes).items()))
        chosen = self.remembered.get(key)
        if chosen is None:
            chosen = self._best(ability, shapes, undoing, resizable=resizable)
            self.remember(key, chosen)
        return chosen

    def remember(self, key: tuple[object, ...], served: Served) -> None:
        """Notes what was chosen."""
        if len(self.remembered) < _REMEMBERED:
            self.remembered[key] = served

    def _best(
        self,
        ability: Ability,
        shapes: Sequence[tuple[int, ...]],
        undoing: Damage,
        *,
        resizable: bool,
    ) -> Served:
        """The best that can do it and takes images of these shapes. Raises as `choose` does."""
        ranking = self.ranking(ability, undoing)
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
        # A stable sort: the right number of channels first, then a model tested at this very size,
        # then, of those that learned the task, one tested at about this size.
        return min(
            fitting or ranking, key=lambda served: _distance(served, ability, shapes, undoing)
        )

    def _highest(self) -> Iterator[Served]:
        return (versions[max(versions)] for versions in self._served.values())


def _strangeness(ability: Ability, card: Manifest, undoing: Damage) -> int:
    """How far the model is from having learned that: to denoise, 1 if it undoes other damage."""
    if ability != "denoise":
        return int("encode" not in card.abilities)
    if card.corruption is None:
        return 2
    return int(not card.corruption.startswith(undoing))


def _distance(
    served: Served, ability: Ability, shapes: Sequence[tuple[int, ...]], undoing: Damage
) -> tuple[int, int, int, float]:
    """How far the images are from those that the model was made for, by what weighs most first."""
    card, own = served.manifest, served.golden.image.shape
    other_channels = sum(not card.image.keeps(shape[2]) for shape in shapes)
    other_size = sum(shape[:2] != own[:2] for shape in shapes)
    doublings = sum(abs(math.log2(math.prod(shape[:2]) / math.prod(own[:2]))) for shape in shapes)
    return other_channels, other_size, _strangeness(ability, card, undoing), doublings
