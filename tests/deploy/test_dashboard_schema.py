"""The dashboards are what Grafana itself writes: nothing in them that its own schema does not know."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.test_dashboards import DASHBOARDS


def lost(board: dict[str, Any]) -> list[str]:
    """What is gone or changed once Grafana's classes have read and written it.

    They know panels' options and queries too, and add what is left out.
    """
    plugins.register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(board))))
    return list(differences(board, written))


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from differences(value, theirs.get(key), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{place}[{i}]")
    elif ours != theirs:
        yield f"{place}: {ours!r} became {theirs!r}"


@pytest.fixture(params=DASHBOARDS, ids=lambda file: file.stem)
def board(request) -> dict[str, Any]:
    return json.loads(request.param.read_text())


def test_grafana_keeps_every_field_of_a_dashboard(board):
    assert lost(board) == []


@pytest.mark.parametrize(
    "place", [(), ("fieldConfig",), ("fieldConfig", "defaults"), ("options",), ("targets", 0)]
)
def test_a_field_that_grafana_does_not_know_would_be_noticed(board, place):
    part: Any = next(panel for panel in board["panels"] if panel.get("targets"))
    for step in place:
        part = part[step]
    part["unitt"] = "s"
    assert len(lost(board)) == 1
