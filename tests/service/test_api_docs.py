"""docs/api.md: every example runs against a real server of the shipped models.

`python -m tests.service.test_api_docs` writes the answers into it anew.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from service.app import create_app
from service.settings import Settings
from tests.listening import listening

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
HOST = "http://127.0.0.1:8000"
BLOCK = re.compile(r"```(sh|python|json|http)\n(.*?)```", re.DOTALL)
ABILITIES = {"denoise", "reconstruct", "encode", "decode", "interpolate", "sample", "classify"}


class Example(NamedTuple):
    """A command, and where in the page its answer stands."""

    command: str
    kind: str
    answer: str
    start: int
    end: int


def examples() -> list[Example]:
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    return [
        Example(command[2].strip(), answer[1], answer[2].strip(), answer.start(2), answer.end(2))
        for command, answer in pairwise(blocks)
        if command[1] == "sh" and answer[1] in ("json", "http")
    ]


def python_lines() -> str:
    return "\n".join(
        m[2] for m in BLOCK.finditer(PAGE.read_text(encoding="utf-8")) if m[1] == "python"
    )


@contextmanager
def serving() -> Iterator[tuple[str, set[str]]]:
    """The address of a server of the shipped models, and what they can do."""
    app = create_app(Settings())
    with listening(app) as address:
        yield address, {a for served in app.state.catalog for a in served.manifest.abilities}


def run(command: str, address: str, folder: Path) -> str:
    """What a curl line prints, run beside a copy of docs/examples."""
    if not (folder / "docs").exists():
        (folder / "docs").symlink_to(ROOT / "docs")
    done = subprocess.run(
        ["bash", "-c", command.replace(HOST, address)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def abridged(value: object) -> object:
    """JSON as a person reads it: long texts and lists cut, numbers rounded."""
    if isinstance(value, dict):
        return {key: abridged(v) for key, v in value.items()}
    if isinstance(value, list):
        few, most = (1, 1) if value and isinstance(value[0], dict) else (2, 3)
        return [abridged(v) for v in (value if len(value) <= most else value[:few])] + (
            ["…"] if len(value) > most else []
        )
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+/=]{60,}", value):
        return f"{value[:12]}…"
    return float(f"{value:.4g}") if isinstance(value, float) else value


def shown(kind: str, output: str) -> str:
    """An answer as the page shows it."""
    if kind == "http":
        lines = [
            line for line in output.strip().splitlines() if not re.match(r"(date|server):", line)
        ]
        return "\n".join(lines)
    text = json.dumps(abridged(json.loads(output)), indent=1, ensure_ascii=False)
    # Lists and objects that fit in a line stand in one.
    inner = re.compile(r"([\[{])\n\s*([^\[\]{}]*?)\n\s*([\]}])")
    for _ in range(3):
        text = inner.sub(
            lambda m: (
                short if len(short := m[1] + re.sub(r"\n\s*", " ", m[2]) + m[3]) < 88 else m[0]
            ),
            text,
        )
    return text


def outline(kind: str, answer: str) -> object:
    """What of an answer stays when the models change: its members, or its headers."""
    if kind == "http":
        status, *headers = answer.splitlines()
        return status.split()[1], {line.partition(":")[0].lower() for line in headers}

    def members(value: object) -> object:
        if isinstance(value, dict):
            return {key: members(v) for key, v in value.items()}
        return [members(value[0])] if isinstance(value, list) and value else type(value).__name__

    return members(json.loads(answer))


def needs(command: str) -> set[str]:
    return ABILITIES & set(re.findall(r"8000/(\w+)", command))


def shipped() -> bool:
    names = {path.parents[1].name for path in (ROOT / "models").glob("*/*/model.json")}
    return "mnist-vae-6" in names


def test_every_route_of_the_api_is_in_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for path in json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]:
        assert path.startswith("/v2") or path.replace("{name}", "NAME") in text, path
    for ability in ABILITIES:
        assert f"## POST /{ability}" in text


@pytest.mark.skipif(not shipped(), reason="the models of the examples are not in models/")
def test_every_curl_line_gives_an_answer_like_the_one_beside_it(tmp_path):
    with serving() as (address, abilities):
        for example in examples():
            if not needs(example.command) <= abilities:
                continue
            answer = shown(example.kind, run(example.command, address, tmp_path))
            expected = outline(example.kind, example.answer)
            if "/models" in example.command or "/health" in example.command:
                assert outline(example.kind, answer).keys() == expected.keys()
            else:
                assert outline(example.kind, answer) == expected, example.command


@pytest.mark.skipif(not shipped(), reason="the models of the examples are not in models/")
def test_every_python_line_runs(tmp_path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    with serving() as (address, abilities):
        lines = [
            line
            for line in python_lines().replace(HOST, address).splitlines()
            if set(re.findall(r"client\.(\w+)\(", line)) & ABILITIES <= abilities
        ]
        script = tmp_path / "examples.py"
        script.write_text("\n".join(lines))
        done = subprocess.run(
            [sys.executable, script],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert {"clean.png", "decoded.png", "walk.gif", "digits.png"} <= {
        p.name for p in tmp_path.iterdir()
    }


def write() -> None:
    """Puts what a server answers now beside every curl line."""
    import tempfile

    text = PAGE.read_text(encoding="utf-8")
    with serving() as (address, abilities), tempfile.TemporaryDirectory() as folder:
        for example in reversed(examples()):
            if needs(example.command) <= abilities:
                answer = shown(example.kind, run(example.command, address, Path(folder)))
                text = f"{text[: example.start]}{answer}\n{text[example.end :]}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
