"""What the documents say to type can be typed: each command is one that there is.

The slow test does docs/tutorial.md from its first line to its last, with fewer epochs.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from service import cli
from tests.deploy.scripts import SCRIPTS
from tests.server import serving

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs/tutorial.md"
PAGES = [ROOT / "README.md", ROOT / "docs/operations.md", TUTORIAL]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ROUTES = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]


def blocks(page: Path, kind: str) -> list[str]:
    return [m[2] for m in BLOCK.finditer(page.read_text(encoding="utf-8")) if m[1] == kind]


def commands(page: Path) -> list[str]:
    """The lines to type; a line that ends in a backslash goes on."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip()]


EVERY = [(page.name, command) for page in PAGES for command in commands(page)]


def words(command: str) -> list[str]:
    """As the shell splits it: no comment, no variables in front, nothing behind a pipe."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&")
    lexer.whitespace_split = True
    split = list(lexer)
    end = next((i for i, word in enumerate(split) if set(word) <= set("|&")), len(split))
    while "=" in split[0] and not split[0].startswith("-"):
        split, end = split[1:], end - 1
    return split[:end]


def is_a_route(url: str) -> bool:
    path = httpx.URL(url).path
    return path in {"/metrics", "/"} or any(
        re.fullmatch(re.sub(r"\\\{\w+\\\}|\{\w+\}", "[^/]+", route), path) for route in ROUTES
    )


def known(command: str) -> bool:
    """Whether it is a command that there is, with options that it takes."""
    program, *rest = words(command)
    if program in ("autoencoder", "python", ".venv/bin/python") or program.endswith("/autoencoder"):
        return of_python(program, rest)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        return re.search(rf"^{rest[0]}:", makefile, re.MULTILINE) is not None
    if program == "docker" and rest[0] == "compose":
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        profiles = {p for service in services.values() for p in service.get("profiles", ())}
        asked = {rest[i + 1] for i, word in enumerate(rest) if word == "--profile"}
        named = set(rest[rest.index("up") + 1 :]) - {"-d"}
        return asked <= profiles and named <= set(services)
    if program == "curl":
        urls = [word for word in rest if word.startswith("http://")]
        return bool(urls) and all(map(is_a_route, urls))
    if program == ".":
        return rest in ([".venv-cpu/bin/activate"], [".venv/bin/activate"])
    if program in ("kubectl", "serve"):
        return any((ROOT / word).is_file() for word in rest)
    return f"{program} {rest[0]}" in ("pip install", "docker build")


def of_python(program: str, rest: list[str]) -> bool:
    if program.endswith("autoencoder"):
        if rest[0] in ("serve", "health"):
            shown = subprocess.run(
                [SCRIPTS / "autoencoder", rest[0], "--help"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            return all(word in shown.stdout for word in rest if word.startswith("--"))
        cli._parser().parse_args(rest)  # exits on what it does not take
        return True
    if rest[:2] == ["-m", "training"]:
        pytest.importorskip("torch", exc_type=ImportError)
        from training.__main__ import _parser

        _parser().parse_args(rest[2:])
        return True
    if rest[0] == "-m":
        return (ROOT / f"{rest[1].replace('.', '/')}.py").is_file()
    return rest == ["shapes.py"]


@pytest.mark.parametrize(("page", "command"), EVERY)
def test_a_command_of_the_documents_is_one_that_there_is(page, command):
    assert known(command), f"{page}: {command}"


@pytest.mark.parametrize(
    "command",
    [
        "make sreve",
        "docker compose --profile monitor up",
        "curl http://127.0.0.1:8000/denoize",
        "kubectl apply -f deploy/kubernets.yaml",
        "something else",
    ],
)
def test_a_slip_would_be_noticed(command):
    assert not known(command)
    with pytest.raises(SystemExit):
        known("autoencoder denoise a.png --ouut clean")


def test_every_file_the_documents_point_to_is_there():
    for page in [*PAGES, ROOT / "docs/api.md"]:
        for target in re.findall(r'\]\(([^)#:]+)[)#]|src="([^"]+)"', page.read_text()):
            assert (page.parent / "".join(target)).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path):
    pytest.importorskip("torch", exc_type=ImportError)
    (script,) = blocks(TUTORIAL, "python")
    (tmp_path / "shapes.py").write_text(script)
    places = f"--models {tmp_path}/models --runs {tmp_path}/runs"
    steps = [
        command.replace(".venv/bin/python", sys.executable)
        .replace("--epochs 20", f"--epochs 4 {places}")
        .replace("http://127.0.0.1:8000", "$AUTOENCODER_URL")
        for command in commands(TUTORIAL)
        if not command.startswith(("make", "docker", ".")) or command.startswith(".venv/bin/python")
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
    }
    outputs = []

    def do(command: str) -> None:
        done = subprocess.run(
            ["bash", "-euc", command], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)

    draw, train, load, *rest = steps
    do(draw)
    do(train)
    with serving(tmp_path / "models") as server:
        environment["AUTOENCODER_URL"] = server.url
        for command in (load, *rest):
            do(command)
    usual, unusual = (
        statistics.median(
            float(row["anomaly_percentile"])
            for row in csv.DictReader((tmp_path / name).read_text().splitlines())
        )
        for name in ("usual.csv", "unusual.csv")
    )
    assert 25 < usual < 75
    assert unusual > 85
    assert "anomaly_percentile_bucket" in outputs[-1]
    with (tmp_path / "scores.csv").open() as file:
        gains = [float(row["psnr"]) - float(row["psnr_before"]) for row in csv.DictReader(file)]
    assert len(gains) == 600
