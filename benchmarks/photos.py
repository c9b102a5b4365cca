"""Our denoiser of photographs beside BM3D and the literature, on Set12 and BSD68.

    python -m benchmarks.photos                     everything; BM3D takes half an hour of one core
    python -m benchmarks.photos --only speeds       measured again, the rest is kept
    python -m benchmarks.photos --only              the page again, from what is known

Writes benchmarks/photos.json and docs/benchmarks-photos.md. What BM3D has done is kept under
`.benchmarks/`, so that a run which was stopped goes on. Needs the extra `training`, for the noise
that is not clipped and for DnCNN's shape.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import photos_page
from benchmarks.environment import commit, processor
from benchmarks.payloads import ROOT
from benchmarks.photographs import LEVELS, SETS, photographs
from service import manifest
from service.model import Model
from service.runtime import open_session
from training import data, sweep

MODEL = "photo-denoise-gray"
PARTS = ("speeds", "ours", "bm3d")
FIGURES = ROOT / "benchmarks" / "photos.json"
PAGE = ROOT / "docs" / "benchmarks-photos.md"
CACHE = ROOT / ".benchmarks"
_THREADS, _ROUNDS, _SIDE = 2, 5, 1024
# On a clean photograph nothing should happen.
_CLEAN = 0

# PSNR of each photograph in order, by set, level and what was scored.
Found = dict[str, dict[str, dict[str, list[float]]]]


def ours(folder: Path, where: Path) -> Found:
    """PSNR of each photograph, by set and level: noisy, as trained and as served."""
    found: Found = {}
    served = Model.open(folder, threads=_THREADS)
    with tempfile.TemporaryDirectory() as scratch:
        trained = sweep.floating(folder, Path(scratch))
        for name in SETS:
            found[name] = {}
            for level in (_CLEAN, *LEVELS):
                scores: dict[str, list[float]] = {}
                for photograph in photographs(where, name):
                    noisy = photograph.noisy(level)[None, :, :, None].astype(np.float32)
                    stored = sweep.as_served(noisy)
                    # The graph does not care that the type says uint8; see `floating`.
                    exact = trained.encode(noisy).latents[0, 0] * 255  # type: ignore[arg-type]
                    answers = {"trained": exact, "served": served.reconstruct(stored)[0, :, :, 0]}
                    if level != _CLEAN:
                        answers["noisy"] = noisy[0, :, :, 0]
                    for key, answer in answers.items():
                        psnr = round(photograph.psnr(answer), 3)
                        scores.setdefault(key, []).append(psnr)
                found[name][str(level)] = scores
                means = {key: round(statistics.fmean(each), 2) for key, each in scores.items()}
                print(name, level, means, flush=True)
    return found


def bm3d(python: Path, where: Path) -> dict[str, Any]:
    """BM3D in an environment of its own, photograph by photograph."""
    results = CACHE / "bm3d.jsonl"
    command = [str(python), "-m", "benchmarks.peers.bm3d_photographs", str(where), str(results)]
    subprocess.run(command, cwd=ROOT, check=True)
    return read_bm3d(results) | {"version": _version(python, "bm3d")}


def read_bm3d(results: Path) -> dict[str, Any]:
    """PSNR by set and level of the photographs that are done, the first ones, and its speed."""
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    psnr: dict[str, dict[str, list[float]]] = {}
    for line in sorted(lines, key=lambda line: int(line["place"])):
        by_level = psnr.setdefault(line["of"], {})
        by_level.setdefault(str(line["level"]), []).append(line["psnr"])
    megapixels = sum(line["megapixels"] for line in lines)
    cpu = sum(line["cpu_seconds"] for line in lines)
    return {"psnr": psnr, "megapixels_per_cpu_second": round(megapixels / cpu, 4)}


def speeds(folder: Path, python: Path, where: Path) -> dict[str, list[float]]:
    """Megapixels a second on two cores, round by round, all taking turns."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, _SIDE, _SIDE, 1), dtype=np.uint8)
    floats = rng.random((1, 1, _SIDE // 2, _SIDE // 2), np.float32)
    model = Model.open(folder, threads=_THREADS)
    runs: dict[str, tuple[Callable[[], object], float]] = {
        "ours, uint8 in and out": (lambda: model.reconstruct(image), image.size / 1e6)
    }
    with tempfile.TemporaryDirectory() as scratch:
        for name, layers in (("DnCNN-S", 17), ("DnCNN-B", 20)):
            path = Path(scratch) / f"{name}.onnx"
            _export_dncnn(path, layers)
            session = open_session(path, threads=_THREADS)

            def run(session: Any = session) -> object:  # noqa: ANN401
                return session.run(None, {"x": floats})

            runs[f"{name}'s shape"] = (run, floats.size / 1e6)
        program = ["-m", "benchmarks.peers.bm3d_photographs", str(where), "--seconds"]
        command = [str(python), *program]

        def filtered() -> float:
            answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            return float(answer.stdout)

        runs["BM3D"] = (filtered, 256 * 256 / 1e6)
        found: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(_ROUNDS + 1):
            for name, (run_once, megapixels) in runs.items():
                started = time.perf_counter()
                told = run_once()
                # BM3D tells the seconds of its filter alone, without the start of its process.
                seconds = told if isinstance(told, float) else time.perf_counter() - started
                if turn:  # the first warms up
                    found[name].append(round(megapixels / seconds, 4))
    return found


def _export_dncnn(path: Path, layers: int) -> None:
    """DnCNN (Zhang et al. 2017), batch norm folded away; random weights are as fast as others."""
    middle = [m for _ in range(layers - 2) for m in (nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())]
    first, last = nn.Conv2d(1, 64, 3, padding=1), nn.Conv2d(64, 1, 3, padding=1)
    net = nn.Sequential(first, nn.ReLU(), *middle, last).eval()
    torch.onnx.export(net, (torch.rand(1, 1, _SIDE // 2, _SIDE // 2),), path, input_names=["x"],
                      dynamo=True, verbose=False)  # fmt: skip


def _environment(name: str, *requirements: str) -> Path:
    folder = CACHE / name
    stamp = folder / ".ready"
    if not stamp.exists():
        print(f"installing {name} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", *requirements], check=True)
        stamp.touch()
    return folder


def _version(python: Path, name: str) -> str:
    code = f"from importlib.metadata import version; print(version({name!r}))"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def main() -> None:
    """Measures, and writes the figures and the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.photos", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="keep the others")
    parser.add_argument("--data", metavar="ROOT", help="folder of the data sets")
    options = parser.parse_args()
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    figures |= measure(data.root(options.data) / "photos", options.only)
    FIGURES.write_text(json.dumps(figures) + "\n")
    PAGE.write_text(photos_page.page(figures))


def measure(where: Path, parts: Sequence[str]) -> dict[str, Any]:
    """The figures of those parts."""
    folder = ROOT / "models" / MODEL / "1"
    python = CACHE / "bm3d" / "bin" / "python"
    found: dict[str, Any] = {}
    if "speeds" in parts or "bm3d" in parts:
        _environment("bm3d", "bm3d", "pillow")
    if "speeds" in parts:
        found["load_before"] = round(os.getloadavg()[0], 2)
        found["speeds"] = speeds(folder, python, where)
    if "ours" in parts:
        found["ours"], found["model"] = ours(folder, where), _made(folder)
    if "bm3d" in parts:
        found["bm3d"] = bm3d(python, where)
    if found:
        found["on"] = {
            "processor": processor(), "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(), "commit": commit(),
            "date": time.strftime("%Y-%m-%d"),
            "versions": {name: version(name) for name in ("onnxruntime", "torch", "numpy")},
        }  # fmt: skip
    return found


def _made(folder: Path) -> dict[str, Any]:
    """What training it took."""
    card = manifest.read(folder)
    made = card.provenance
    return {
        "graphs": sweep.graphs(card), "name": card.name, "parameters": card.parameters,
        "epochs": made.epochs,
        "seconds": made.seconds, "device": made.device, "recipe": card.recipe,
    }  # fmt: skip


if __name__ == "__main__":
    main()
