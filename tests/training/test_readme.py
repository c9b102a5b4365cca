from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service import manifest
from training import readme
from training.corruption import Gaussian
from training.data import Dataset
from training.loop import train
from training.publish import publish
from training.recipes import Recipe


@pytest.mark.parametrize(("std", "named"), [(0.05, ""), (0.3, " at gaussian:0.05")])
def test_a_number_beside_the_reports_at_another_noise_than_the_rows_names_it(
    recipe: Recipe, colour: Dataset, tmp_path: Path, std: float, named: str
) -> None:
    recipe = replace(recipe, name="cifar10-conv-denoise", corruption=Gaussian(std), epochs=1)
    card = manifest.read(publish(recipe, {0: train(recipe, colour)}, colour, tmp_path))
    (ours,) = (
        s.values["psnr"] for s in card.scores if (s.subject, s.protocol) == ("model", "report")
    )
    row = readme.table(tmp_path).splitlines()[-1]
    assert f"| denoise gaussian:{std} |" in row
    assert row.endswith(f"| psnr {ours:.2f} / 24.48{named} |")
