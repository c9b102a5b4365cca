from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from training import snapshots
from training.cards import one_of_each
from training.corruption import Gaussian
from training.data import Dataset, Images
from training.loop import train
from training.recipes import Recipe


def test_the_outputs_after_each_epoch_are_kept(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    run = train(recipe, grey, watch=snapshots.keeper(grey, recipe.corruption, tmp_path))
    kept = snapshots.read(tmp_path)
    assert list(kept) == [1, 2, 3, 4]
    clean = Images(torch.from_numpy(one_of_each(grey.test, snapshots.COUNT)), torch.zeros(8))
    # The last epoch was the best: its weights are those the run ends with.
    best = min(run.history, key=lambda entry: entry["loss"])
    expected = snapshots.levels(run.net(clean.batch(slice(None))).images.detach())
    np.testing.assert_array_equal(kept[int(best["epoch"])], expected)


def test_to_watch_a_run_changes_nothing_in_it(
    recipe: Recipe, colour: Dataset, tmp_path: Path
) -> None:
    recipe = replace(recipe, corruption=Gaussian(0.2))
    watched = train(recipe, colour, watch=snapshots.keeper(colour, recipe.corruption, tmp_path))
    alone = train(recipe, colour)
    assert [e["loss"] for e in watched.history] == [e["loss"] for e in alone.history]
    assert snapshots.read(tmp_path)[1].shape == (8, 16, 16, 3)
