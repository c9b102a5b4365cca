"""Classifiers on latents: one scale for all of them, and R1's tables of what they get right."""

from __future__ import annotations

import json

import pytest
import torch

from service import manifest
from service.manifest import Manifest
from training import comparison
from training.classify import CLASSIFIERS, Network
from training.data import CHECKOUT
from training.recipes import named
from training.reported import ACCURACIES, BEST_ACCURACIES, REPORTED


def test_latents_that_hold_next_to_nothing_are_not_blown_up() -> None:
    latents = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    latents = latents * torch.tensor([10.0, 0.1]) + 3
    net = Network(CLASSIFIERS[0], latents, 2)
    seen = (latents - net.mean) * net.scale
    assert seen.mean(0).abs().max() < 1e-4
    assert seen.square().mean() == pytest.approx(1)
    assert seen.std(0)[0] / seen.std(0)[1] == pytest.approx(100, rel=0.2)


def test_latents_that_never_change_are_left_at_nothing() -> None:
    net = Network(CLASSIFIERS[0], torch.full((5, 3), 0.1), 2)
    assert torch.isfinite(net(torch.full((1, 3), 0.1))).all()
    assert net.scale <= 1e3


def card(name: str, *rows: tuple[str, float, float]) -> Manifest:
    """A published model's manifest with other classifiers: name, validation, test."""
    read = manifest.read(CHECKOUT / "models" / name / "1")
    scores = [
        {"subject": "model", "task": "classify", "protocol": "report", "note": f"classifier {kind}",
         "values": {"validation": validation, "accuracy": test}, "seeds": 3}
        for kind, validation, test in rows
    ]  # fmt: skip
    return Manifest.model_validate({**json.loads(read.model_dump_json()), "scores": scores})


def test_the_best_is_chosen_on_validation_among_the_reports_own_and_among_all() -> None:
    cards = {
        "mnist5-pca-32": card("mnist5-pca-32", ("A1", 0.98, 0.99), ("GELU", 0.993, 0.9911)),
        "mnist5-pca-64": card("mnist5-pca-64", ("A2", 0.985, 0.9766)),
    }
    pca, *others = comparison.best_accuracies(cards)
    assert pca == [
        "PCA", "98.96 %", "97.97 %", "`mnist5-pca-64`, A2", "98.50 %", "97.66 %",
        "`mnist5-pca-32`, GELU", "99.30 %", "99.11 %",
    ]  # fmt: skip
    assert all(comparison.MISSING in line for line in others)


def test_a_classifiers_line_has_validation_and_test_of_both() -> None:
    cards = {"mnist5-mlp-32": card("mnist5-mlp-32", ("A1", 0.98, 0.975))}
    first, second = comparison.accuracies("mnist5-mlp-32", cards)
    assert first[:6] == ["`mnist5-mlp-32`", "A1", "94.84 %", "93.65 %", "98.00 %", "97.50 %"]
    assert second[2:6] == ["92.96 %", "92.65 %", "", comparison.MISSING]


def test_errors_on_training_images_stand_beside_the_reports_only_under_its_own_noise() -> None:
    kept = {"train": [0.5, 0.002], "validation": [0.4, 0.0031, 0.0033]}
    (line,) = comparison.learnt(named("mnist5-mlp-256-denoise-20"), None, kept)
    assert line[1:] == ["0.0029", "0.002", "0.0047", "0.0031", "0.0047", comparison.MISSING]
    assert not list(comparison.learnt(named("mnist5-unet-denoise"), None, kept))


def test_what_is_reported_is_of_recipes() -> None:
    names = {name for models, _ in BEST_ACCURACIES.values() for name in models} | {*ACCURACIES}
    assert all(named(name).source == "R1" for name in names)
    assert {name for name, rows in REPORTED.items() if rows[0].learnt} >= {"mnist5-mlp-400-64"}


def test_every_classifier_of_the_report_is_published_with_its_validation() -> None:
    for name, printed in ACCURACIES.items():
        scores = manifest.read(CHECKOUT / "models" / name / "1").scores
        ours = {s.note: s.values for s in scores if (s.subject, s.protocol) == ("model", "report")}
        for kind in printed:
            assert {*ours[f"classifier {kind}"]} == {"accuracy", "validation"}, (name, kind)
