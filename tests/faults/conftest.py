"""Faults that are really injected, into real processes, by real signals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import toys


@pytest.fixture
def models(tmp_path) -> Path:
    """A models folder of the test's own, with the toy identity that `Load` asks."""
    folder = tmp_path / "models"
    folder.mkdir()
    toys.identity(folder)
    return folder
