"""What the documents say to type is typed, each command of it; a new one must say how."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests.documents.conftest import ADDRESS
from tests.documents.pages import PAGES, ROOT, TUTORIAL, Unit, commands, units
from tests.documents.ways import WAYS, way

# The tutorial's own test types these in their order, each needs those before.
OF_THE_TUTORIAL = set(commands(TUTORIAL)) - WAYS.keys()
EVERY = list(
    {
        unit.text: unit
        for page in PAGES
        for unit in units(page, whole=frozenset(WAYS))
        if not (page == TUTORIAL and unit.text in OF_THE_TUTORIAL)
    }.values()
)
ROUTES = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]


def marked(unit: Unit):
    found = way(unit.page, unit.text)
    marks = [pytest.mark.slow] if found and found.slow else []
    return pytest.param(unit, id=f"{unit.page}: {unit.text[:60]}", marks=marks)


def is_a_route(url: str) -> bool:
    path = httpx.URL(url).path
    return path in {"/metrics", "/"} or any(
        re.fullmatch(re.sub(r"\\\{\w+\\\}|\{\w+\}", "[^/]+", route), path) for route in ROUTES
    )


@pytest.mark.parametrize("unit", [marked(unit) for unit in EVERY])
def test_a_command_of_the_documents_does_what_it_should(checkout, unit):
    found = way(unit.page, unit.text)
    assert found, f"{unit.page}: no test runs `{unit.text}`: say how in tests/documents/ways.py"
    assert all(map(is_a_route, re.findall(rf"{ADDRESS}[^\s'\"]*", unit.text)))
    if "-m training" in unit.text or "training" in unit.text or unit.text.startswith("make train"):
        pytest.importorskip("torch", exc_type=ImportError)
    found.run(unit.text, checkout)


def test_no_way_is_of_a_command_that_nobody_is_told_any_more():
    told = {unit.text for page in PAGES for unit in units(page, whole=frozenset(WAYS))}
    assert not WAYS.keys() - told


def test_whatever_is_not_done_to_its_end_says_why():
    unfinished = [
        name for name, one in WAYS.items() if one.run.__name__.startswith(("no_", "only_"))
    ]
    assert len(unfinished) < len(WAYS) / 2
    assert all(WAYS[name].why for name in unfinished)


@pytest.mark.parametrize("command", ["make sreve", "kubectl aply -f x.yaml", "python -m something"])
def test_a_command_that_nobody_runs_would_be_noticed(command):
    assert way("README.md", command) is None


@pytest.mark.parametrize(
    ("command", "like"),
    [
        ("curl http://127.0.0.1:8000/denoize", "curl"),
        ("autoencoder denoise docs/examples/noisy-mnist.png --ouut clean", "curl"),
        ("docker compose --profile monitor up", "docker compose up"),
        ("docker compose up cpu", "docker compose up"),
        ("pip install '.[cleint]'", "pip install '.[client]'"),
        ("make sreve RUNTIME=gpu", "make serve RUNTIME=gpu"),
        ("kubectl apply -f deploy/kubernets.yaml", "kubectl apply -f deploy/kserve.yaml"),
        ("serve run deploy/rai.yaml", "serve run deploy/ray.yaml"),
        ("pytest -m cluster tests/deploy/test_clusters.py", "pytest -m cluster tests/deploy/test_cluster.py -s"),
        ("python -m training serch", ".venv/bin/python -m training list"),
        ("python -m tests.faults.fuz 100000 0", "python -m tests.faults.fuzz 100000 0"),
    ],
)  # fmt: skip
def test_a_slip_would_be_noticed(checkout, command, like):
    found = WAYS.get(like) or way("README.md", "curl ")
    with pytest.raises((AssertionError, FileNotFoundError)):
        found.run(command, checkout)


def test_every_file_the_documents_point_to_is_there():
    for page in PAGES:
        for target in re.findall(r'\]\(([^)#:]+)[)#]|src="([^"]+)"', page.read_text()):
            assert (page.parent / "".join(target)).exists(), f"{page.name}: {target}"
