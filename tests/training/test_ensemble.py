from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training import ensemble, kernel, loop
from training.corruption import Gaussian, Occlusion, Once
from training.crops import Crops
from training.data import Dataset, Split
from training.errors import TrainingError
from training.loop import Trained
from training.members import Member
from training.networks import Conv, Family, Mlp, Pca, SkipNet, Valid
from training.recipes import Recipe
from training.schedules import Adam, AdamW, Constant, Muon, Plateau
from training.search import Fold

FAMILIES: list[Family] = [
    Mlp((24, 4), activation="gelu", latent="linear"),
    Mlp((16, 4), variational=True),
    Conv((4, 8), latents=3, hidden=12),
    Conv((4, 8, 8), latents=3, hidden=None, paddings=(1, 1, 0), variational=True),
    Valid((4, 4)),
]


@pytest.fixture(params=["in the kernel", "in torch"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With training/fused.py, and as on a GPU or where nothing can be compiled."""
    if request.param == "in torch":
        monkeypatch.setattr(kernel, "load", lambda **_: None)


class Killed(Exception):
    """Stands for the process going away."""


def weights(run: Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.net.parameters()])


def members(recipe: Recipe, count: int = 3) -> list[Member]:
    """Alike but for all that may differ."""
    optimisers = [Adam(3e-3), AdamW(1e-3, decay=0.1), Adam(1e-2, l2=1e-3), Adam(1e-4)]
    return [
        Member(replace(recipe, optimiser=optimisers[k], split=Fold(40, index=k % 2, count=2)), k)
        for k in range(count)
    ]


def die_in(epoch: int) -> Callable[[Member, float], None]:
    calls: dict[Member, int] = {}

    def report(member: Member, loss: float) -> None:
        calls[member] = calls.get(member, 0) + 1
        if calls[member] == epoch:
            raise Killed

    return report


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize("net", FAMILIES, ids=repr)
def test_each_member_ends_as_if_it_had_been_trained_alone(
    recipe: Recipe, grey: Dataset, net: Family
) -> None:
    recipe = replace(recipe, net=net, shift=1, corruption=Gaussian(0.2), epochs=2)
    together = ensemble.train(members(recipe), grey)
    for member, run in zip(members(recipe), together, strict=True):
        alone = loop.train(member.recipe, grey, seed=member.seed)
        torch.testing.assert_close(weights(run), weights(alone), rtol=1e-3, atol=1e-4)
        for mine, theirs in zip(run.history, alone.history, strict=True):
            for key in ("epoch", "train", "loss", "mse", "kl"):
                assert mine[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6)


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize("net", FAMILIES[1:4], ids=repr)
def test_in_bfloat16_a_member_ends_as_if_it_had_been_trained_alone(
    recipe: Recipe, grey: Dataset, net: Family
) -> None:
    recipe = replace(recipe, net=net, bf16=True, epochs=2)
    for member, run in zip(members(recipe), ensemble.train(members(recipe), grey), strict=True):
        alone = loop.train(member.recipe, grey, seed=member.seed)
        # Where a gradient is near 0, what is rounded elsewhere turns a step round: a rate at most.
        apart = (weights(run) - weights(alone)).abs() > 0.05 * weights(alone).abs() + 2e-3
        assert apart.float().mean() < 0.005
        torch.testing.assert_close(weights(run), weights(alone), rtol=0.05, atol=1e-2)
        assert not torch.equal(
            weights(run),
            weights(loop.train(replace(member.recipe, bf16=False), grey, seed=member.seed)),
        )
        losses = [[entry["loss"] for entry in each.history] for each in (run, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("change", [
    {"schedule": Plateau(patience=0)}, {"init": "data"}, {"corruption": Occlusion(2, 5)},
    {"kl": 0.5, "kl_warmup": 0.5, "net": Mlp((8, 3), variational=True)}, {"batch": 1000},
])  # fmt: skip
def test_whatever_a_recipe_says_is_done(
    recipe: Recipe, grey: Dataset, change: dict[str, Any]
) -> None:
    recipe = replace(recipe, **change)
    (run,) = ensemble.train([Member(recipe, 5)], grey)
    alone = loop.train(recipe, grey, seed=5)
    torch.testing.assert_close(weights(run), weights(alone), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("net", [Mlp((16, 4)), Conv((4, 8), latents=3)], ids=repr)
def test_a_member_is_the_same_to_the_bit_whoever_is_beside_it(
    recipe: Recipe, grey: Dataset, net: Family, bf16: bool
) -> None:
    recipe = replace(recipe, net=net, bf16=bf16, corruption=Gaussian(0.2), epochs=2)
    sizes = [
        ensemble.train(members(recipe, 4), grey, together=together) for together in (1, 2, 3, 4)
    ]
    for runs in zip(*sizes, strict=True):
        assert all(torch.equal(weights(run), weights(runs[0])) for run in runs)


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize(
    "net", [Mlp((24, 4), latent="linear"), Conv((8,), 6, hidden=None)], ids=repr
)
def test_a_member_that_diverges_does_not_touch_its_neighbours(
    recipe: Recipe, grey: Dataset, net: Family
) -> None:
    recipe = replace(recipe, schedule=Constant(), epochs=8, optimiser=Adam(1e-2), net=net)
    one, two = Member(recipe), Member(recipe, 1)
    wild = Member(replace(recipe, optimiser=Adam(float("inf"))))
    asleep = Member(replace(recipe, optimiser=Adam(0.0)))
    first, nan, second, dead = ensemble.train([one, wild, two, asleep], grey, together=4)
    assert "nan" in nan.died
    assert "one constant image" in dead.died
    assert (nan.epochs, dead.epochs, first.epochs) == (1, 5, 8)
    for run, alone in zip((first, second), ensemble.train([one, two], grey), strict=True):
        assert torch.equal(weights(run), weights(alone))
        assert not run.died


def test_on_several_threads_a_member_is_the_same_to_the_bit(recipe: Recipe, grey: Dataset) -> None:
    recipe = replace(recipe, net=Conv((4, 8), latents=3), corruption=Gaussian(0.2), epochs=2)
    threads, runs = torch.get_num_threads(), []
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            runs.append(ensemble.train(members(recipe, 4), grey, together=4))
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
    for one, other in zip(*runs, strict=True):
        assert torch.equal(weights(one), weights(other))


def test_a_member_stops_when_it_no_longer_improves_and_keeps_its_best(
    recipe: Recipe, grey: Dataset
) -> None:
    recipe = replace(recipe, optimiser=Adam(0.02), schedule=Constant(), epochs=60)
    slow = Member(replace(recipe, optimiser=Adam(3e-3)))
    hasty, steady = ensemble.train([Member(recipe), slow], grey, patience=3, together=2)
    losses = [entry["loss"] for entry in hasty.history]
    assert losses.index(min(losses)) == len(losses) - 4
    assert hasty.epochs < steady.epochs
    _, validation = recipe.split(grey)
    pixels = validation.batch(slice(None))
    found = (hasty.net(pixels).images - pixels).square().mean().detach()
    assert float(found) == pytest.approx(min(losses), rel=1e-4)


def test_an_ensemble_that_was_killed_goes_on_as_if_nothing_had_happened(
    recipe: Recipe, grey: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "_SECONDS_BETWEEN_SAVES", 0.0)
    recipe = replace(recipe, corruption=Gaussian(0.2))
    whole = ensemble.train(members(recipe), grey)
    with pytest.raises(Killed):
        ensemble.train(members(recipe), grey, checkpoints=tmp_path, report=die_in(3), together=2)
    (sorted(tmp_path.glob("*.pt"))[0]).write_bytes(b"cut off")
    seen: list[Member] = []
    resumed = ensemble.train(
        members(recipe), grey, checkpoints=tmp_path, report=lambda m, _: seen.append(m)
    )
    assert 0 < len(seen) < 3 * recipe.epochs
    for run, other in zip(resumed, whole, strict=True):
        assert torch.equal(weights(run), weights(other))


def test_more_epochs_go_on_from_the_fewer(recipe: Recipe, grey: Dataset, tmp_path: Path) -> None:
    short = ensemble.train(members(recipe), grey, until=1, checkpoints=tmp_path)
    assert [run.epochs for run in short] == [1, 1, 1]
    long = ensemble.train(members(recipe), grey, checkpoints=tmp_path)
    for run, whole in zip(long, ensemble.train(members(recipe), grey), strict=True):
        assert torch.equal(weights(run), weights(whole))


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
], ids=["cuda", "cpu"])  # fmt: skip
def test_without_memory_for_all_a_smaller_group_is_taken_and_the_log_says_so(
    recipe: Recipe, grey: Dataset, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, error: Exception,
) -> None:  # fmt: skip
    roomy = ensemble._Group.epoch

    def cramped(group: Any) -> None:
        if len(group.rows) > 2:
            raise error
        roomy(group)

    monkeypatch.setattr(ensemble._Group, "epoch", cramped)
    with caplog.at_level(logging.WARNING):
        runs = ensemble.train(members(recipe, 4), grey, together=4)
    assert [run.epochs for run in runs] == [4] * 4
    assert "not enough memory for 4 networks at once: 2 then" in caplog.text


def test_another_error_is_not_taken_for_a_lack_of_memory(
    recipe: Recipe, grey: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(ensemble._Group, "epoch", broken)
    with pytest.raises(RuntimeError, match="multiplied"):
        ensemble.train(members(recipe), grey)


@pytest.mark.parametrize("change", [
    {"net": Mlp((8, 2), dropout=0.2)}, {"net": SkipNet(8)}, {"net": Pca(3)},
    {"clip": 0.1}, {"cut": Crops(8, of_each=2)}, {"corruption": Once(Gaussian(0.3))},
])  # fmt: skip
def test_what_cannot_be_trained_in_an_ensemble_is_refused(
    recipe: Recipe, grey: Dataset, change: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="one seed at a time"):
        ensemble.train([Member(replace(recipe, **change))], grey)


@pytest.mark.usefixtures("_ways")
def test_noise_on_colours_is_that_of_a_network_alone(recipe: Recipe, colour: Dataset) -> None:
    recipe = replace(recipe, net=Valid((4, 4)), shift=1, corruption=Gaussian(0.2), epochs=1)
    runs = ensemble.train(members(recipe, 2), colour, together=2)
    for member, run in zip(members(recipe, 2), runs, strict=True):
        alone = loop.train(member.recipe, colour, seed=member.seed)
        torch.testing.assert_close(weights(run), weights(alone), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("net", [
    Mlp((24, 16, 4), activation="gelu"), Conv((16, 32), 4, hidden=16, activation="gelu"),
], ids=repr)  # fmt: skip
def test_under_muon_each_ends_as_if_it_had_been_trained_alone(
    recipe: Recipe, grey: Dataset, net: Family
) -> None:
    optimisers = [Muon(3e-3), AdamW(3e-3), Muon(1e-3, decay=0.5), Muon(1e-2)]
    several = [
        Member(replace(recipe, net=net, optimiser=optimiser), seed)
        for seed, optimiser in enumerate(optimisers)
    ]
    for member, run in zip(several, ensemble.train(several, grey, together=4), strict=True):
        alone = weights(loop.train(member.recipe, grey, seed=member.seed))
        # Muon computes in bfloat16, which turns the last bit of a gradient into one of 256.
        assert (weights(run) - alone).norm() < 0.02 * alone.norm()


def test_members_of_different_shapes_are_trained_in_groups(recipe: Recipe, grey: Dataset) -> None:
    mixed = [Member(replace(recipe, net=Mlp((8, k)), split=Split(40 * k))) for k in (2, 3)]
    runs = ensemble.train(mixed, grey)
    assert [run.net.decoder[0].in_features for run in runs] == [2, 3]
