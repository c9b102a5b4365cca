from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from training import processes
from training.cli import main

ROOT = Path(__file__).parents[2]


def test_the_longest_is_begun_first_and_what_nobody_knows_before_it(tmp_path: Path) -> None:
    for name, seconds in (("quick", 3.0), ("slow", 50.0)):
        folder = tmp_path / name / "1"
        folder.mkdir(parents=True)
        card = {"name": name, "provenance": {"seconds": seconds}}
        (folder / "model.json").write_text(json.dumps(card))
    costs = processes.longest_first(["quick", "new", "slow"], tmp_path)
    assert list(costs.items()) == [("new", 50.0), ("slow", 50.0), ("quick", 3.0)]


def test_each_job_has_its_status_and_its_log(tmp_path: Path) -> None:
    jobs = {"good": ["list"], "bad": ["train", "mnist-mlp-9", "--models", str(tmp_path)]}
    assert dict(processes.run(main, jobs, tmp_path, 2)) == {"good": 0, "bad": 1}
    assert "mnist-conv-6" in (tmp_path / "good.log").read_text()
    assert "did you mean mnist-mlp-8" in (tmp_path / "bad.log").read_text()


def test_models_are_trained_over_processes(small_mnist: Path, tmp_path: Path) -> None:
    """As a user does: what `python -m` runs is another module than the one that is imported."""
    arguments = ["--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs"),
                 "--data", str(small_mnist), "--epochs", "1"]  # fmt: skip
    command = [sys.executable, "-m", "training", "train", "mnist-deep-8", "mnist-mlp-8",
               "--processes", "2", *arguments]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    logs = "".join(path.read_text() for path in (tmp_path / "runs" / "logs").iterdir())
    assert ended.returncode == 0, ended.stdout + ended.stderr + logs
    for name in ("mnist-deep-8", "mnist-mlp-8"):
        assert (tmp_path / "models" / name / "1" / "model.json").exists()


def test_several_seeds_train_as_one_ensemble(small_mnist: Path, tmp_path: Path) -> None:
    status = main([
        "train", "mnist-mlp-8", "--seed", "0", "1", "--together", "--data", str(small_mnist),
        "--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs"), "--epochs", "2",
    ])  # fmt: skip
    assert status == 0
    card = json.loads((tmp_path / "models" / "mnist-mlp-8" / "1" / "model.json").read_text())
    assert card["provenance"]["epochs"] == 2
    assert any(score["seeds"] == 2 for score in card["scores"])
