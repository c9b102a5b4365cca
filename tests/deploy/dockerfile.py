"""The Dockerfile as data: its stages, and what a target inherits."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from tests.deploy.scripts import ROOT


class Step(NamedTuple):
    """One instruction; `words` is all that follows it, its lines joined."""

    instruction: str
    words: str


def _read() -> tuple[dict[str, str], dict[str, list[Step]]]:
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    bases: dict[str, str] = {}
    stages: dict[str, list[Step]] = {}
    for line in filter(str.strip, text.splitlines()):
        instruction, words = line.split(maxsplit=1)
        if instruction == "FROM":
            base, _, name = words.split()
            bases[name], stages[name] = base, []
        else:
            stages[name].append(Step(instruction, words))
    return bases, stages


# BASES: stage name -> what it is FROM; STAGES: stage name -> its own steps, in their order.
BASES, STAGES = _read()


def steps(target: str, instruction: str) -> list[str]:
    """What an image of that target does by one instruction, inherited steps first."""
    if target not in STAGES:
        return []
    own = [step.words for step in STAGES[target] if step.instruction == instruction]
    return steps(BASES[target], instruction) + own


def environment(target: str) -> dict[str, str]:
    """The variables an image of that target sets."""
    pairs = " ".join(steps(target, "ENV")).split()
    return dict(pair.split("=", 1) for pair in pairs)


def command(target: str) -> list[str]:
    """What a container of that target runs."""
    return _words(steps(target, "CMD")[-1])


def health_command(target: str) -> list[str]:
    """What asks a container of that target for its health."""
    return _words(steps(target, "HEALTHCHECK")[-1].partition("CMD ")[2])


def _words(text: str) -> list[str]:
    words = json.loads(text)  # the exec form: a shell in between would swallow SIGTERM
    assert isinstance(words, list)
    return words
