from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training import fused, processes, suitable
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


def test_all_has_convolutions_trained_as_ensembles_where_that_pays(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, list[str]] = {}
    monkeypatch.setattr(processes, "run", lambda _c, jobs, *_: (found.update(jobs), [])[1])
    monkeypatch.setattr(suitable, "check", lambda *_: None)  # of few images
    names = ["mnist-conv-6", "mnist-mlp-8", "mnist-unet-denoise"]
    arguments = ["--data", str(small_mnist), "--runs", str(tmp_path), "--processes", "2"]
    for pays in (True, False):
        monkeypatch.setattr(fused, "fits", lambda *_, pays=pays, **_bf16: pays)
        assert main(["train", *names, *arguments]) == 0
        together = {name for name, job in found.items() if "--together" in job}
        assert together == ({"mnist-conv-6", "mnist-mlp-8"} if pays else set())
    assert main(["train", *names, *arguments, "--together"]) == 0
    assert {name for name, job in found.items() if "--together" in job} == set(names[:2])


@pytest.mark.parametrize("seeds", [["0"], ["0", "1"]])
def test_one_seed_or_several_train_as_one_ensemble(
    small_mnist: Path, tmp_path: Path, seeds: list[str]
) -> None:
    status = main([
        "train", "mnist-mlp-8", "--seed", *seeds, "--together", "--data", str(small_mnist),
        "--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs"), "--epochs", "2",
    ])  # fmt: skip
    assert status == 0
    card = json.loads((tmp_path / "models" / "mnist-mlp-8" / "1" / "model.json").read_text())
    assert card["provenance"]["epochs"] == 2
    assert any(score["seeds"] == len(seeds) for score in card["scores"])
    assert list((tmp_path / "runs" / "together").iterdir())
