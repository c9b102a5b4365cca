from __future__ import annotations

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from training import data, kernel, loop, report, searching, trials
from training.cli import main
from training.data import Dataset, Split
from training.errors import TrainingError
from training.journal import Journal
from training.networks import Mlp
from training.recipes import Recipe, named
from training.schedules import Adam, Constant
from training.search import DECAYS, RATES, Fold, Search, run


class Killed(BaseException):
    """Stands for the process going away."""


@pytest.fixture
def small(recipe: Recipe) -> Search:
    base = replace(recipe, data="mnist", net=Mlp((16, 3)), batch=64, split=Split(1900))
    return Search(base, draws=4, folds=2, epochs=3)


def kill_after(outcomes: int) -> Callable[..., None]:
    def progress(done: int, total: int, outcome: object) -> None:
        nonlocal outcomes
        outcomes -= outcome is not None
        if not outcomes:
            raise Killed

    return progress


def test_the_grid_is_the_reports() -> None:
    assert len(RATES) == len(DECAYS) == 19
    assert (RATES[0], RATES[-1]) == pytest.approx((1e-4, 1e-2))
    assert (DECAYS[0], DECAYS[-1]) == pytest.approx((1e-5, 1e-3))


def test_a_seed_draws_the_same_points_and_none_twice(small: Search) -> None:
    drawn = replace(small, draws=35).points()
    assert drawn == replace(small, draws=35).points()
    assert len(set(drawn)) == 35
    assert drawn != replace(small, draws=35, seed=1).points()


def test_folds_share_no_image_and_leave_none_out(grey: Dataset) -> None:
    marked = replace(grey, train=grey.train[torch.arange(200)])
    marked.train.pixels[:, 0, 0, 0] = torch.arange(200, dtype=torch.uint8)
    parts = [Fold(40, index=k, count=4)(marked) for k in range(4)]
    kept = [set(fold.pixels[:, 0, 0, 0].tolist()) for _, fold in parts]
    assert sum(map(len, kept)) == len(set.union(*kept)) == 160
    for (train, _), mine in zip(parts, kept, strict=True):
        assert set(train.pixels[:, 0, 0, 0].tolist()) == set.union(*kept) - mine


def test_a_search_that_was_killed_ends_as_if_nothing_had_happened(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    whole = run(small, small_mnist, tmp_path / "whole", processes=1)
    with pytest.raises(Killed):
        run(small, small_mnist, tmp_path / "cut", processes=1, progress=kill_after(3))
    journal = tmp_path / "cut" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert run(small, small_mnist, tmp_path / "cut", processes=1) == whole
    assert [line.mean for line in whole] == sorted(line.mean for line in whole)


def test_a_trial_that_was_killed_goes_on_from_its_last_epoch(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    point = small.points()[0]

    def trial(place: str, until: int) -> trials.Trial:
        checkpoint = tmp_path / place
        recipe = small.recipe(point, 0)
        return trials.Trial(recipe, point, 0, until, small.seed, small_mnist, checkpoint)

    at_once = trials.attempt(trial("whole.pt", 3))
    first = trials.attempt(trial("parts.pt", 1))
    assert first.epochs == 1
    assert first.loss != at_once.loss
    assert trials.attempt(trial("parts.pt", 3)) == at_once


def test_a_search_can_be_widened_without_doing_again_what_was_done(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    run(replace(small, draws=2), small_mnist, tmp_path, processes=1)
    journal = tmp_path / "journal.jsonl"
    before = journal.read_text()
    wider = run(small, small_mnist, tmp_path, processes=1)
    assert len(wider) == 4
    assert journal.read_text().startswith(before)
    assert len(journal.read_text().splitlines()) == 1 + 4 * small.folds


def test_processes_change_nothing_but_the_time(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    small = replace(small, draws=1)
    alone = run(small, small_mnist, tmp_path / "one", processes=1)
    assert run(small, small_mnist, tmp_path / "two", processes=2) == alone


def test_two_that_share_a_folder_share_the_work_and_give_the_same_table(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    halving = replace(small, draws=3, epochs=4, halving=True)
    alone = run(halving, small_mnist, tmp_path / "alone", processes=1)
    # Processes, as two machines are: the locks are theirs.
    with ProcessPoolExecutor(2, get_context("spawn")) as machines:
        places = [(halving, small_mnist, tmp_path / "shared")] * 2
        tables = [machines.submit(run, *place, processes=1) for place in places]
        assert [table.result(120) for table in tables] == [alone, alone]
    lines = (tmp_path / "shared/journal.jsonl").read_text().splitlines()[1:]
    assert len(lines) == len(set(lines)), "nothing was done twice"
    assert sorted(lines) == sorted((tmp_path / "alone/journal.jsonl").read_text().splitlines()[1:])


def test_a_trial_that_another_is_at_is_left_to_it_until_it_dies(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    trial = trials.Trial(
        small.recipe(small.points()[0], 0), small.points()[0], 0, 1, 0, small_mnist,
        tmp_path / "trials/c.pt",
    )  # fmt: skip
    journal = Journal(tmp_path / "journal.jsonl", small.identity)
    hold = (
        "import sys, time, pathlib; from training.locks import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1])) as ours: print(ours, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, trial.claim], stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"True\n"
        assert not trial.is_free()
        assert trials.share(trial, journal) is None
        it.kill()
    assert trial.is_free()
    assert trials.share(trial, journal) is not None
    assert trials.share(trial, journal) is None, "it is in the journal"


def test_halving_gives_all_epochs_only_to_the_better_points(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    halving = replace(small, draws=6, folds=2, epochs=4, halving=True)
    assert halving.rungs() == [1, 2, 4]
    lines = run(halving, small_mnist, tmp_path, processes=1)
    assert sorted(line.epochs for line in lines) == [1, 1, 1, 1, 2, 4]
    assert not (tmp_path / "trials").exists()


def test_a_network_that_dies_is_an_outcome(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    dead = replace(small.recipe(trials.Point(0.0, 0.0), 0), epochs=7)
    trial = trials.Trial(dead, trials.Point(0.0, 0.0), 0, 7, 0, small_mnist, tmp_path / "c.pt")
    outcome = trials.attempt(trial)
    assert "one constant image" in outcome.died
    assert 0 < outcome.loss < 1


def test_a_journal_of_another_search_is_refused(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    Journal(tmp_path / "journal.jsonl", replace(small, seed=5).identity)
    with pytest.raises(TrainingError, match="move it away"):
        run(small, small_mnist, tmp_path)


def test_a_journal_forgets_only_the_line_that_was_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "this")
    journal.append({"n": 1})
    with journal.path.open("a") as file:
        file.write(json.dumps({"n": 2})[:4])
    again = Journal(tmp_path / "j", "this")
    again.append({"n": 3})
    assert list(again.lines()) == [{"n": 1}, {"n": 3}]


def test_an_ensemble_finds_what_processes_find(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    alone = run(small, small_mnist, tmp_path / "alone", processes=1)
    at_once = replace(small, device="cpu")
    together = run(at_once, small_mnist, tmp_path / "together")
    for one, other in zip(alone, together, strict=True):
        assert (one.lr, one.l2, one.epochs) == (other.lr, other.l2, other.epochs)
        assert one.losses == pytest.approx(other.losses, rel=1e-3)
    assert run(at_once, small_mnist, tmp_path / "together") == together
    with pytest.raises(TrainingError, match="move it away"):
        run(small, small_mnist, tmp_path / "together")


def test_an_ensemble_that_was_killed_in_a_later_rung_ends_as_if_nothing_had_happened(
    small: Search, small_mnist: Path, tmp_path: Path
) -> None:
    halving = replace(small, epochs=4, halving=True, device="cpu")
    whole = run(halving, small_mnist, tmp_path / "whole")
    with pytest.raises(Killed):
        run(halving, small_mnist, tmp_path / "cut", progress=kill_after(10))
    assert run(halving, small_mnist, tmp_path / "cut") == whole
    assert sorted(line.epochs for line in whole) == [1, 1, 2, 4]


@pytest.mark.parametrize(("said", "name", "device"), [
    ({}, "mnist-conv-6", "cpu"), ({}, "mnist-mlp-8", ""), ({"processes": 2}, "mnist-conv-6", ""),
    ({"together": "cpu"}, "mnist-mlp-8", "cpu"),
])  # fmt: skip
def test_without_a_word_a_search_trains_together_what_is_faster_so(
    said: dict[str, Any], name: str, device: str, small_mnist: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(kernel, "load", lambda **_: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = Namespace(**{"processes": None, "together": None, "data": str(small_mnist)} | said)
    assert searching._device(named(name), options) == device
    monkeypatch.setattr(kernel, "load", lambda **_: None)
    assert searching._device(named(name), options) == said.get("together", "")


def test_the_command_trains_the_winner_alone_by_the_ordinary_loop(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(small_mnist), "--runs", str(tmp_path), "--results", str(tmp_path)]
    short = "--bf16 --draws 3 --folds 2 --epochs 2 --together cpu"
    assert main(["search", "mnist-mlp-8", *short.split(), *where]) == 0
    found = json.loads((tmp_path / "search-mnist-mlp-8.json").read_text())
    best, winner = found["points"][0], found["winner"]
    base = named("mnist-mlp-8")
    optimiser = Adam(best["lr"], best["l2"])
    recipe = replace(
        base, summary="", epochs=2, batch=512, optimiser=optimiser, schedule=Constant(), bf16=True
    )
    assert winner["recipe"] == repr(recipe)
    dataset = data.load("mnist", small_mnist)
    alone = loop.train(recipe, dataset, seed=0)
    assert winner["validation"] == min(entry["mse"] for entry in alone.history)
    assert winner["test"] == loop.score(recipe, alone.net, dataset.test)[0]
    assert "the best alone" in capsys.readouterr().out


def test_points_by_name_are_tried_once_each_wherever_they_lie(small: Search) -> None:
    drawn = small.points()
    named = replace(small, also=(drawn[1], trials.Point(0.5, 0.25)))
    assert named.points() == [*drawn, (0.5, 0.25)]
    assert replace(named, draws=0).points() == [drawn[1], (0.5, 0.25)]
    assert named.identity == small.identity


def test_a_named_point_joins_the_table_of_the_search_that_was_done(
    small_mnist: Path, tmp_path: Path
) -> None:
    where = ["--data", str(small_mnist), "--runs", str(tmp_path), "--results", str(tmp_path)]
    search = ["search", "mnist-mlp-8", "--folds", "2", "--processes", "1", *where]
    assert main([*search, "--draws", "2", "--epochs", "2"]) == 0
    path = tmp_path / "search-mnist-mlp-8.json"
    before = json.loads(path.read_text())
    (tmp_path / "search-mnist-mlp-8" / "journal.jsonl").unlink()
    for epochs in (2, 3, 3):
        assert main([*search, "--also", "0.004:2e-5", "--epochs", str(epochs)]) == 0
    after = json.loads(path.read_text())
    also = after.pop("also")
    assert after == before
    assert [(row["lr"], row["l2"], row["epochs"]) for row in also] == [
        (0.004, 2e-5, 2), (0.004, 2e-5, 3),
    ]  # fmt: skip
    assert also[0]["mean"] == pytest.approx(sum(also[0]["losses"]) / 2)
    page = report.document(tmp_path, tmp_path, tmp_path)
    assert "after 2 epochs and " in page
    assert "It is not among the points drawn." in page
    assert f"| 0.004 | 2e-05 | 3 | {also[1]['mean']:.4g} | no, named |" in page
    assert main([*search, "--draws", "2", "--epochs", "2", "--halving"]) == 0
    again = json.loads(path.read_text())
    assert (again["halving"], again["also"]) == (True, also)


@pytest.mark.parametrize("other", [["--seed", "1"], ["--folds", "3"], ["--batch", "64"]])
def test_a_named_point_of_another_search_is_refused(
    other: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "search-mnist-conv-6.json"
    search = ["search", "--also", "0.004:2e-5", "--results", str(tmp_path)]
    assert main(search) == 1
    assert "search without --also first" in capsys.readouterr().out
    shutil.copyfile(data.CHECKOUT / "docs" / "reproduction" / path.name, path)
    assert main([*search, *other]) == 1
    assert "is of another search" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["0.004", "0.004:", "a:b", "0:1e-5", "0.004:2e-5:1"])
def test_a_point_that_is_not_two_numbers_is_refused_with_one_that_is(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["search", "--also", words])
    assert "0.004:2e-5" in capsys.readouterr().err
