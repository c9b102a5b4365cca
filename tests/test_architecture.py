"""Who may import whom, what may be in the tree, and other rules that hold the house up."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import service

ROOT = Path(__file__).resolve().parents[1]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at whatever depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SERVICE, ids=named)
def test_the_service_imports_neither_training_nor_torch_nor_onnx(path):
    roots = {name.partition(".")[0] for name in imported(path)}
    assert not roots & {"training", "torch", "torchvision", "onnx", "onnxscript"}


@pytest.mark.parametrize("path", TRAINING, ids=named)
def test_training_imports_of_the_service_only_what_a_model_is_written_and_scored_with(path):
    allowed = {
        "manifest", "model", "quality", "noise", "corruption", "errors", "images", "latent_map",
    }  # fmt: skip
    used = {name.split(".")[1] for name in imported(path) if name.startswith("service.")}
    assert used <= allowed


def test_the_rule_finds_an_import_inside_a_function(tmp_path):
    path = tmp_path / "guilty.py"
    path.write_text("def f():\n    from torch import nn\n    import service.app as a\n")
    assert {"torch", "torch.nn", "service.app"} <= imported(path)


def test_the_service_runs_where_torch_and_onnx_cannot_be_imported():
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'training', 'httpx', 'rich'): sys.modules[name] = None\n"
        "from service.app import create_app; from service.cli import main; create_app()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_service_is_the_one_of_this_checkout():
    assert Path(service.__file__).resolve().parent == ROOT / "service"


@pytest.mark.parametrize("path", SERVICE + TRAINING, ids=named)
def test_no_file_has_two_subjects(path):
    assert len(path.read_text().splitlines()) <= 320


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_tracked_names_a_machines_path_or_holds_data():
    home = re.compile(rb"(?<![\w.])/(?:home|Users|root)/\w")
    for path in tracked():
        assert path.suffix not in {".npz", ".pt", ".pth", ".lock", ".gz"}, path
        if path.suffix != ".png":
            assert not home.search(path.read_bytes()), path


def test_no_file_in_the_repository_is_large():
    assert not [p for p in tracked() if p.stat().st_size > 6 * 2**20]


def test_every_setting_stands_in_the_documentation():
    from service.settings import Settings

    text = (ROOT / "docs" / "operations.md").read_text()
    missing = [n for n in Settings.model_fields if f"AUTOENCODER_{n.upper()}" not in text]
    assert not missing
