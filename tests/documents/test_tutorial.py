"""docs/tutorial.md from its first line to its last, with fewer epochs."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys

import pytest

from tests.deploy.scripts import SCRIPTS
from tests.documents.pages import ROOT, TUTORIAL, blocks, commands
from tests.server import serving


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
