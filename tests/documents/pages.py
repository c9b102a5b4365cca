"""What the documents say to type: blocks of sh, lines set apart, and commands within the text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs/tutorial.md"
PAGES = [
    README,
    TUTORIAL,
    *(ROOT / f"docs/{name}.md" for name in ("operations", "api", "reproduction")),
    *sorted((ROOT / "docs").glob("benchmarks*.md")),
]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PROGRAMS = (
    r"(?:\w+=\S+ )*(?:\.venv[\w-]*/bin/)?(?:autoencoder|bash|curl|docker|docker-compose|kill|kubectl|"
    r"make|npm|nvidia-smi|pip|promtool|pytest|python3?|ray|serve|sh) \S.*"
)
_WITHIN = re.compile(rf"`({_PROGRAMS.replace('.*', '[^`]*')})`")
_APART = re.compile(rf"^    ({_PROGRAMS})$", re.MULTILINE)


class Unit(NamedTuple):
    """What is typed at once: a line, or a block whose lines need one another."""

    page: str
    text: str


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of a kind."""
    return [m[2] for m in _BLOCK.finditer(page.read_text(encoding="utf-8")) if m[1] == kind]


def lines(block: str) -> list[str]:
    """The lines of a block to type, without comments; one that ends in a backslash or pipe goes on."""
    joined = re.sub(r"(?:\\\n|(?<=\|)\n)\s*", " ", block)
    bare = (re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in bare if line]


def commands(page: Path) -> list[str]:
    """The lines of every sh block of a page."""
    return [line for block in blocks(page, "sh") for line in lines(block)]


def units(page: Path, *, whole: frozenset[str] = frozenset()) -> list[Unit]:
    """All that a page says to type, each once; a block that is in `whole` is not split."""
    found = []
    for block in blocks(page, "sh"):
        text = "\n".join(lines(block))
        found += [text] if text in whole else lines(block)
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    found += [*_WITHIN.findall(" ".join(prose.split())), *_APART.findall(prose)]
    return [Unit(page.name, text) for text in dict.fromkeys(found)]
