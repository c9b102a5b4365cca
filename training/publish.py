"""Turns trained networks into a model folder: export, evaluate, write the manifest last."""

from __future__ import annotations

import math
import platform
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from service import latent_map, manifest
from service.manifest import Ability, ImageShape, Manifest, Provenance
from service.model import Model
from training import cards, context, maps, sampler, sheets
from training.classify import CLASSIFIER
from training.corruption import GaussianUpTo
from training.crops import Crops
from training.data import CHECKOUT, Dataset
from training.evaluate import evaluate
from training.export import export
from training.loop import Trained
from training.networks import Autoencoder
from training.recipes import Recipe

# Forty components of 30 latents have 20,000 numbers to be fitted. With 64 latents the fit took
# longer than the training (8 minutes against 1.5, on a busy machine), and few would ask for it.
_SAMPLER_LATENTS = 32
_SAMPLER_IMAGES = 20_000
_CONTEXT_IMAGES = 8
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def publish(
    recipe: Recipe,
    runs: dict[int, Trained],
    dataset: Dataset,
    models: Path,
    *,
    device: str = "cpu",
    number: int = 1,
) -> Path:
    """Exports the run that was best on validation, scores it and publishes models/NAME/`number`.

    `runs` holds the runs by seed: the others only tell how far the seed matters. A classifier of
    the version that is replaced is kept if its latents are still the same.

    Raises:
        ExportError: the graphs do not say what the network says.
    """
    seed = min(runs, key=lambda s: min(entry["loss"] for entry in runs[s].history))
    best = runs[seed]
    nets = [best.net, *(run.net for s, run in runs.items() if s != seed)]
    models.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{recipe.name}.", dir=models))
    # mkdtemp makes it for one user only; a server that runs as another must read it.
    staging.chmod(0o755)
    try:
        export(best.net, dataset.shape, staging)
        latent_shape = _latent_shape(best.net, dataset, staging)
        sampled = best.net.bottleneck and sampler.fits(latent_shape)
        sampled = sampled and math.prod(n or 0 for n in latent_shape) <= _SAMPLER_LATENTS
        if sampled:
            _add_sampler(recipe, dataset, latent_shape, staging)
        scored = evaluate(recipe, nets, dataset, staging)
        made = Manifest(
            name=recipe.name,
            version=number,
            summary=recipe.summary,
            family=type(recipe.net).__name__.lower(),
            dataset=_public(recipe.data),
            source=recipe.source,
            image=_image(recipe, best.net, dataset, staging),
            latent_shape=latent_shape,
            variational=best.net.variational,
            abilities=abilities(recipe, best.net, sampled=sampled),
            corruption=recipe.corruption.served,
            classes=(),
            parameters=best.net.parameter_count(),
            recipe=repr(recipe).replace(repr(recipe.data), repr(_public(recipe.data))),
            scores=scored.scores,
            error_percentiles=scored.error_percentiles,
            noise_kurtosis_percentiles=scored.noise_kurtosis_percentiles,
            golden=scored.golden,
            provenance=_provenance(best, seed, dataset, device),
            files={p.name: manifest.digest(p) for p in staging.iterdir()},
        )
        made = _with_classifier(made, staging, models)
        model = Model.open(staging)
        sheets.save(cards.draw(model, made, dataset.test), staging / cards.CARD)
        charted = maps.draw(model, made, dataset)
        if charted is not None:
            (staging / latent_map.FILE).write_bytes(maps.encoded(charted))
        return manifest.write(staging, made, models)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def abilities(recipe: Recipe, net: Autoencoder, *, sampled: bool = False) -> tuple[Ability, ...]:
    """What a network of that kind can be asked for."""
    able: list[Ability] = []
    if not net.encodes:
        return ("denoise", "reconstruct")
    # A bottleneck drops noise that it was never shown; a network without one passes it on.
    if net.bottleneck or recipe.corruption.served is not None:
        able.append("denoise")
    able.append("reconstruct")
    able += ["encode", "decode"]
    if net.bottleneck:
        able.append("interpolate")
    if net.variational or sampled:
        able.append("sample")
    return tuple(able)


def _add_sampler(
    recipe: Recipe, dataset: Dataset, latent_shape: tuple[int | None, ...], staging: Path
) -> None:
    """A density of the training latents, so that a plain autoencoder can be sampled too."""
    model = Model.open(staging)
    train, validation = (
        model.encode(part.pixels[:_SAMPLER_IMAGES].numpy()).latents.reshape(
            min(len(part), _SAMPLER_IMAGES), -1
        )
        for part in recipe.split(dataset)
    )
    fixed = tuple(length for length in latent_shape if length is not None)
    sampler.export(sampler.fit(train, validation), fixed, staging / "sampler.onnx")


def _with_classifier(made: Manifest, staging: Path, models: Path) -> Manifest:
    """With the classifier of the version it replaces, if the encoder is the same to the byte."""
    former = models / made.name / str(made.version)
    if not (former / manifest.FILE).exists():
        return made
    published = manifest.read(former)
    same = published.files["encoder.onnx"] == made.files["encoder.onnx"]
    if "classify" not in published.abilities or not same:
        return made
    shutil.copyfile(former / CLASSIFIER, staging / CLASSIFIER)
    kept = {
        "scores": [*made.scores, *(s for s in published.scores if s.task == "classify")],
        "abilities": [*made.abilities, "classify"],
        "classes": published.classes,
    }
    return Manifest.model_validate({**made.model_dump(), **kept})


def _public(data: str) -> str:
    """A data set's name without the path of someone's folder."""
    return f"folder:{Path(data).name}" if data.startswith("folder:") else data


def _image(recipe: Recipe, net: Autoencoder, dataset: Dataset, folder: Path) -> ImageShape:
    """A denoiser of grey photographs cleans colour ones too, a channel at a time."""
    around = _context(recipe, dataset, folder) if net.any_size else None
    photographs = isinstance(recipe.cut, Crops) and not net.encodes
    channels, height, width = dataset.shape
    assert channels in (1, 3)
    return ImageShape(
        height=None if net.any_size else height,
        width=None if net.any_size else width,
        channels=1 if channels == 1 else 3,
        smallest=max(net.smallest, 1),
        channelwise=channels == 1 and photographs,
        **({} if around is None else {"context": around}),
    )


def _context(recipe: Recipe, dataset: Dataset, folder: Path) -> int | None:
    """Measured under the noise it learned to undo: the stronger, the further a network looks."""
    shown = dataset.test.pixels[:_CONTEXT_IMAGES].numpy()
    if isinstance(recipe.corruption, GaussianUpTo):
        shown = cards.noisy(shown, f"gaussian:{recipe.corruption.high:g}")
    elif recipe.corruption.served:
        shown = cards.noisy(shown, recipe.corruption.served)
    model = Model.open(folder, threads=2)
    seen = context.measured(model, shown)
    return seen if seen is not None else context.on_noise(model, shown.shape[3])


def _latent_shape(net: Autoencoder, dataset: Dataset, folder: Path) -> tuple[int | None, ...]:
    shape = Model.open(folder).encode(dataset.test.pixels[:1].numpy()).latents.shape[1:]
    return (shape[0], None, None) if net.any_size else tuple(shape)


def _provenance(run: Trained, seed: int, dataset: Dataset, device: str) -> Provenance:
    # Those that trained, which need not be those that score and publish.
    threads = int(run.history[-1].get("threads", torch.get_num_threads()))
    return Provenance(
        commit=_commit(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        data=dataset.digests,
        versions={"python": platform.python_version(), **{n: version(n) for n in _LIBRARIES}},
        device=f"{device}, {threads} threads" if device == "cpu" else device,
        epochs=run.epochs,
        seconds=round(run.seconds, 1),
    )


def _commit() -> str:
    """The checkout's commit, with a plus sign if training/ has changed since."""
    try:
        head, changes = (
            subprocess.run(
                ["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "training"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+" if changes else head
