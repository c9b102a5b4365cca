from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from training import charts, comparison, drawings, figures, snapshots, space
from training.cli import main
from training.corruption import Gaussian
from training.data import CHECKOUT, Dataset
from training.drawings import Subject, open_subject
from training.errors import TrainingError
from training.loop import train
from training.networks import Mlp, Valid
from training.publish import publish
from training.recipes import RECIPES, Recipe


def made(recipe: Recipe, dataset: Dataset, place: Path) -> Subject:
    watch = snapshots.keeper(dataset, recipe.corruption, place / "runs" / f"{recipe.name}-0")
    publish(recipe, {0: train(recipe, dataset, watch=watch)}, dataset, place / "models")
    return open_subject(recipe.name, place / "models", place / "runs", dataset)


@pytest.fixture
def subject(recipe: Recipe, grey: Dataset, tmp_path: Path) -> Subject:
    recipe = replace(recipe, net=Mlp((24, 4), variational=True), corruption=Gaussian(0.1))
    return made(recipe, grey, tmp_path)


def test_every_figure_is_of_a_recipe_and_of_its_report() -> None:
    sources = {recipe.name: recipe.source for recipe in RECIPES}
    drawn = list(figures.figures())
    assert len({figure.file for figure in drawn}) == len(drawn)
    for figure in drawn:
        assert sources[figure.model] == figure.report


def test_every_figure_of_a_shipped_model_is_there() -> None:
    drawn = CHECKOUT / "docs" / "reproduction"
    lacking = [f.file for f in figures.figures() if not (drawn / f.file).exists()]
    assert not lacking, "run `python -m training figures`"


def test_each_kind_of_figure_can_be_drawn(
    recipe: Recipe, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings.recipes, "named", lambda _: recipe)
    for kind in sorted(figures.KINDS.keys() - {"tsne", "tsne-3d", "confusion"}):
        path = figures.draw(figures.Figure("R0", subject.card.name, kind), subject, tmp_path)
        with Image.open(path) as picture:
            assert min(picture.size) > 40


def test_what_a_model_lacks_is_said_and_not_drawn(
    recipe: Recipe, colour: Dataset, tmp_path: Path
) -> None:
    subject = made(replace(recipe, net=Valid((8, 8)), epochs=1), colour, tmp_path)
    for kind, message in (
        ("weights", "not dense"),
        ("mixture", "no sampler"),
        ("confusion", "no classifier"),
    ):
        with pytest.raises(TrainingError, match=message):
            figures.KINDS[kind].draw(subject, tmp_path / "none.png")
    unwatched = replace(subject, runs=tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match="kept no outputs"):
        drawings.over_epochs(unwatched, tmp_path / "none.png")


def test_weights_are_shown_as_the_graph_has_them(subject: Subject, tmp_path: Path) -> None:
    drawings.weights(subject, tmp_path / "w.png")
    graph = onnx.load(subject.folder / "encoder.onnx").graph
    (weight_UP,) = [t for t in graph.initializer if list(t.dims) == [24, 144]]
    first = numpy_helper.to_array(weight_UP)[0].reshape(12, 12).astype(np.float32)
    expected = np.rint(127.5 + 127.5 * first / np.abs(first).max())
    with Image.open(tmp_path / "w.png") as picture:
        page = np.asarray(picture).astype(float)
    found = np.lib.stride_tricks.sliding_window_view(page, (12, 12))
    assert (np.abs(found - expected).max((2, 3)) < 1).any()


def test_a_history_is_read_from_the_checkpoint(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    run = train(recipe, grey, checkpoint=tmp_path / "checkpoint.pt")
    kept = figures.history(tmp_path)
    assert kept is not None
    assert kept["validation"] == pytest.approx([e["loss"] for e in run.history], rel=1e-4)
    assert figures.history(tmp_path / "nowhere") is None


def test_a_page_of_points_needs_no_network_and_cannot_be_broken_by_a_class_name(
    tmp_path: Path,
) -> None:
    places = np.random.default_rng(0).normal(size=(20, 3))
    labels = np.arange(20) % 2
    space.write(tmp_path / "p.html", places, labels, ["<b>", "</script>"], "a & b")
    page = (tmp_path / "p.html").read_text()
    assert "http" not in page
    assert "{{" not in page
    data = json.loads(re.findall(r"const data = (.*);", page)[0])
    assert data["names"] == ["<b>", "</script>"]
    assert page.count("</script>") == 1
    assert np.abs(data["places"]).max() == 1


def test_charts_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    lines = [charts.Curve("a", [1, 2, 3], [0.1, 0.05, 0.02])]
    for name in ("a.png", "b.png"):
        charts.curves(tmp_path / name, lines, "x", "y")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    charts.panels(tmp_path / "c.png", {"one": lines, "two": lines}, "x", "y")
    charts.confusion(tmp_path / "d.png", np.array([[9, 1], [0, 5]]), "ab", "t")
    charts.scatter(tmp_path / "e.png", np.zeros((4, 2)), np.arange(4) % 2, "ab")
    assert len(list(tmp_path.glob("*.png"))) == 5


def test_a_series_is_a_name_and_its_number_of_latents() -> None:
    assert figures.series("mnist-conv-6") == ("mnist-conv", 6)
    assert figures.series("mnist5-mlp-256-denoise-20") is None
    assert figures.series("cifar10-conv") is None


def test_the_commands_draw_measure_and_report(small_mnist: Path, tmp_path: Path) -> None:
    data = ["--data", str(small_mnist)]
    models = ["--models", str(tmp_path / "models")]
    runs = ["--runs", str(tmp_path / "runs")]
    results = ["--results", str(tmp_path / "docs" / "reproduction")]
    page = tmp_path / "docs" / "reproduction.md"
    assert main(["train", "mnist-deep-8", "--epochs", "2", *data, *models, *runs]) == 0
    assert main(["sweep", "mnist-deep-8", *data, *models, *runs, *results]) == 0
    assert main(["baselines", *data, *results]) == 0
    assert main(["figures", *data, *models, *runs, *results]) == 0
    assert main(["report", *models, *results, "--out", str(page)]) == 0
    text = page.read_text()
    assert "![Outputs over the epochs: mnist-deep-8](reproduction/mnist-deep-8-epochs.png)" in text
    assert "### Noise of other strengths" in text
    ours = next(line for line in text.splitlines() if "noise 0.2 not clipped | MSE" in line)
    unclipped = ours.split("|")[1 + comparison.HEADER.index("doing nothing")]
    assert 0.03 < float(unclipped) < 0.05
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 5
    assert all((page.parent / link).exists() for link in links)
