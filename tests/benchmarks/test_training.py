from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import training, training_page, ways
from benchmarks.ways import ENSEMBLE, MANY, OURS, PLAIN, REPORTS, WAYS, Task
from tests.training.conftest import write_mnist

_ON = {"processor": "a processor", "torch": "2", "commit": "abc", "date": "2026-01-01", "load": 0.1}
PYTHAE = "pythae's trainer"


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("data"))


def test_every_way_learns_the_same_thing(mnist: Path) -> None:
    task = Task("mnist-mlp-8", 50, 200, 2, 0, mnist)
    found = {name: way(task) for name, way in WAYS.items() if name != PYTHAE}
    right = found[PLAIN].mse
    assert all(measured.mse == pytest.approx(right, rel=0.01) for measured in found.values())
    assert all(measured.seconds > 0 for measured in found.values())
    assert sorted(m.images for m in found.values()) == [400] * 4 + [400 * ways.MEMBERS] * 2


def test_on_one_thread_the_processors_time_counts_and_on_several_the_walls(mnist: Path) -> None:
    threads = torch.get_num_threads()
    try:
        alone = Task("mnist-mlp-8", 50, 200, 2, 0, mnist)
        assert alone.clock() is ways.processor_time
        assert torch.get_num_threads() == 1
        assert replace(alone, threads=2).clock() is time.perf_counter
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_what_a_process_starts_counts_as_its_own_time() -> None:
    before, alone = ways.processor_time(), time.process_time()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert ways.processor_time() - before > time.process_time() - alone + 0.02


def test_of_many_networks_every_way_trains_the_same(mnist: Path) -> None:
    task = Task("mnist-mlp-8", 50, 200, 2, 0, mnist, networks=3)
    found = [way(task) for way in MANY.values()]
    assert [measured.images for measured in found] == [3 * 400] * 4
    assert all(one.mse == pytest.approx(found[0].mse, rel=0.01) for one in found)


def test_the_operations_of_a_step_are_those_of_its_products(mnist: Path) -> None:
    first, second = 784 * 392, 392 * 8
    forward = backward = 2 * (first + second)
    of_inputs = 2 * (first + second) - first  # nobody asks for the gradient of the images
    operations = Task("mnist-mlp-8", 50, 200, 1, 0, mnist).operations()
    assert operations == 2 * (forward + backward + of_inputs)


def test_a_trainer_that_cannot_be_installed_is_told_and_the_rest_measured(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "PYTHAE", tmp_path / "pythae")
    monkeypatch.setattr(ways, "_REQUIREMENTS", ("--no-index", "--no-such-option"))
    part = training.Part("mnist-mlp-8", 50, 200, 1, seeds=2)
    monkeypatch.setitem(training.PARTS, "dense", part)
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    options = ["--only", "dense", "--data", str(mnist), "--out", str(page)]
    monkeypatch.setattr(sys, "argv", ["training", *options, "--figures", str(figures)])
    training.main()
    told = page.read_text()
    assert "no such option: --no-such-option" in told
    assert all(f"| {name} |" in told for name in WAYS if name != PYTHAE)
    assert f"| {PYTHAE} |" not in told


def test_the_page_has_ratios_shares_and_the_time_to_the_reports_number() -> None:
    measured = {REPORTS: 1000.0, PLAIN: 2000.0, OURS: 4000.0, f"{OURS}, bfloat16": 8000.0}
    names: dict[str, Any] = {
        name: {"speeds": [speed], "errors": [0.05, 0.07]} for name, speed in measured.items()
    }
    part = {"network": "mnist-conv-6", "batch": 512, "images": 1000, "epochs": 3, "seeds": 5,
            "threads": 1}  # fmt: skip
    page = training_page.write({
        "rates": {"float32": 1e11, "bfloat16": 2e11} | _ON,
        "convolutional": {"part": part, "operations": 5_000_000, "ways": names} | _ON,
        "convolutional-all-cores": {
            "part": part | {"threads": 2}, "operations": 5_000_000, "ways": names,
        } | _ON,
        "many-140": {
            "part": part | {"networks": 140, "seeds": 1}, "operations": 5_000_000,
            "ways": {OURS: names[PLAIN], ENSEMBLE: names[f"{OURS}, bfloat16"]},
        } | _ON,
        "number": {
            "epochs": 12, "seconds": 33.0, "of": 20, "whole": 55.0, "test": 0.0201,
            "report": 0.02076, "report_images": 3_840_000,
        } | _ON,
    })  # fmt: skip
    assert page.count(", on 2 threads\n") == 1
    assert "| 4.00 | 2.00 | 1.00 | 10% |" in page
    row = next(line for line in page.splitlines() if line.startswith(f"| {OURS}, bfloat16"))
    assert "| 8.00 | 4.00 | 2.00 | 20% | 0.06000 ± 0.01414 |" in row
    assert "| 4.00 | 2.00 | 1.00 | 20% |" in page
    assert f"| {ENSEMBLE} | 125 | 8,000 | 4.00 | 40% | 0.06000 ± 0.01414 |" in page
    assert "after 12 epochs and 33 s" in page
    assert "loop 3840 s at the rate" in page
