from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training import recipes
from training.corruption import Gaussian, Once
from training.data import Dataset
from training.errors import DeadRun, TrainingError
from training.loop import Trained, first, restore, train, verdict
from training.networks import Mlp
from training.recipes import Recipe
from training.schedules import Adam, AdamW, Constant


def weights(run: Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.net.parameters()])


def stop_in(epoch: int, error: type[BaseException]) -> Callable[..., None]:
    def report(now: int, seen: int, loss: object) -> None:
        if now == epoch and seen > 60:
            raise error

    return report


class Killed(Exception):
    """Stands for the process going away."""


def test_training_lowers_the_error_below_that_of_a_constant_image(
    recipe: Recipe, grey: Dataset
) -> None:
    run = train(replace(recipe, epochs=30, optimiser=Adam(1e-2)), grey)
    pixels = grey.test.batch(slice(None))
    answer = run.net(pixels).images.detach()
    assert (answer - pixels).square().mean() < 0.7 * (pixels - pixels.mean(0)).square().mean()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    recipe: Recipe, grey: Dataset
) -> None:
    recipe = replace(recipe, corruption=Gaussian(0.2), shift=1)
    assert torch.equal(weights(train(recipe, grey)), weights(train(recipe, grey)))
    assert not torch.equal(weights(train(recipe, grey)), weights(train(recipe, grey, seed=1)))


@pytest.mark.parametrize("net", [Mlp((16, 4), dropout=0.3), Mlp((16, 4), variational=True)])
def test_a_run_that_was_killed_resumes_as_if_nothing_had_happened(
    recipe: Recipe, grey: Dataset, tmp_path: Path, net: Mlp
) -> None:
    recipe = replace(recipe, net=net, corruption=Gaussian(0.2))
    checkpoint = tmp_path / "runs" / "checkpoint.pt"
    with pytest.raises(Killed):
        train(recipe, grey, checkpoint=checkpoint, report=stop_in(2, Killed))
    resumed = train(recipe, grey, checkpoint=checkpoint)
    whole = train(recipe, grey)
    assert torch.equal(weights(resumed), weights(whole))
    assert [e["loss"] for e in resumed.history] == [e["loss"] for e in whole.history]


def test_a_finished_run_is_not_trained_again(recipe: Recipe, grey: Dataset, tmp_path: Path) -> None:
    first = train(recipe, grey, checkpoint=tmp_path / "c.pt")
    again = train(recipe, grey, checkpoint=tmp_path / "c.pt", report=stop_in(0, Killed))
    assert torch.equal(weights(first), weights(again))
    assert again.epochs == recipe.epochs


def test_what_was_trained_is_restored_without_training_any_further(
    recipe: Recipe, grey: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(recipe, grey, checkpoint=tmp_path / "c.pt", report=stop_in(2, Killed))
    assert restore(recipe, grey, tmp_path / "c.pt").epochs == 2
    with pytest.raises(TrainingError, match="has not been trained with seed 1"):
        restore(recipe, grey, tmp_path / "c.pt", seed=1)


@pytest.mark.parametrize("damage", ["another recipe", "another seed", "garbage"])
def test_a_checkpoint_that_does_not_fit_is_left_alone(
    recipe: Recipe, grey: Dataset, tmp_path: Path, damage: str
) -> None:
    checkpoint = tmp_path / "c.pt"
    other = replace(recipe, batch=16) if damage == "another recipe" else recipe
    train(other, grey, checkpoint=checkpoint, seed=int(damage == "another seed"))
    if damage == "garbage":
        checkpoint.write_bytes(b"no checkpoint")
    assert torch.equal(
        weights(train(recipe, grey, checkpoint=checkpoint)), weights(train(recipe, grey))
    )


def test_an_interrupt_keeps_the_best_weights_so_far(recipe: Recipe, grey: Dataset) -> None:
    # So fast that the later epochs only spoil what the earlier ones found.
    recipe = replace(recipe, optimiser=Adam(0.02), schedule=Constant(), epochs=40)
    run = train(recipe, grey, report=stop_in(5, KeyboardInterrupt))
    assert run.interrupted
    assert run.epochs == 5
    best = min(entry["loss"] for entry in run.history)
    _, validation = recipe.split(grey)
    pixels = validation.batch(slice(None))
    found = (run.net(pixels).images - pixels).square().mean().detach()
    assert float(found) == pytest.approx(best, rel=1e-4)


def test_an_interrupt_in_the_first_epoch_still_gives_a_network(
    recipe: Recipe, grey: Dataset
) -> None:
    run = train(recipe, grey, report=stop_in(0, KeyboardInterrupt))
    assert run.interrupted
    assert not run.net.training


def test_the_weights_do_not_depend_on_the_test_images(recipe: Recipe, grey: Dataset) -> None:
    other = replace(grey, test=grey.train)
    assert torch.equal(weights(train(recipe, grey)), weights(train(recipe, other)))


def test_a_loss_that_is_no_number_stops_the_run(recipe: Recipe, grey: Dataset) -> None:
    with pytest.raises(DeadRun, match="nan"):
        train(replace(recipe, optimiser=Adam(float("inf"))), grey)


def test_a_network_that_gives_one_constant_image_is_called_dead(
    recipe: Recipe, grey: Dataset
) -> None:
    with pytest.raises(DeadRun, match="one constant image"):
        train(replace(recipe, optimiser=Adam(0.0), epochs=20), grey)


def test_a_run_that_ran_away_is_told_dead() -> None:
    recipe = recipes.named("photo-denoise-gray")
    history = [{"epoch": 1.0, "loss": 0.01, "mse": 0.01}]
    assert verdict(recipe, history, 0.05) == ""
    history.append({"epoch": 2.0, "loss": 1e24, "mse": 1e24})
    assert "ran away" in verdict(recipe, history, 0.05)
    assert verdict(recipe, history, 0.0) == "", "one image to validate on says nothing of that"


def test_a_clipped_gradient_moves_the_weights_less(recipe: Recipe, grey: Dataset) -> None:
    recipe = replace(recipe, epochs=1, optimiser=AdamW(1e-3), clip=1e-9)
    start = first(recipe, grey.train, grey.shape, 0)
    still, free = train(recipe, grey), train(replace(recipe, clip=math.inf), grey)
    begun = torch.cat([p.detach().flatten() for p in start.parameters()])
    assert (weights(still) - begun).norm() < 0.5 * (weights(free) - begun).norm()


def test_a_network_learns_noise_that_is_drawn_once_by_heart(recipe: Recipe, grey: Dataset) -> None:
    wide = replace(recipe, net=Mlp((96,)), epochs=40)
    anew, once = (train(replace(wide, corruption=noise), grey).history[-1]
                  for noise in (Gaussian(0.5), Once(Gaussian(0.5))))  # fmt: skip
    assert once["train"] < 0.8 * anew["train"]
    assert once["loss"] > anew["loss"]
