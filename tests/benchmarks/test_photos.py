from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import photos, photos_page
from benchmarks.photographs import LEVELS, SETS, Photograph, photographs
from service import manifest
from training import sweep

CHECKOUT = Path(__file__).resolve().parents[2]

_ROW = {
    "noisy": [24.6, 24.8], "trained": [31.0, 32.0], "served": [31.0, 31.1],
}  # fmt: skip
FIGURES: dict[str, Any] = {
    "on": {
        "processor": "a processor", "system": "Linux", "python": "3", "commit": "abc",
        "date": "2026-01-01", "versions": {"onnxruntime": "1"},
    },
    "load_before": 0.1,
    "model": {
        "name": "photo-denoise-gray", "parameters": 1_041_408, "epochs": 36, "seconds": 3600.0,
        "device": "cpu, 1 threads",
    },
    "speeds": {"ours, uint8 in and out": [1.5, 1.7], "BM3D": [0.015, 0.017]},
    "ours": {
        name: {"0": {"trained": [41.5, 41.7], "served": [41.2, 41.3]}, **{str(level): _ROW for level in LEVELS}}
        for name in SETS
    },
    "bm3d": {
        "version": "4.0.3", "psnr": {"set12": {"25": [29.9, 30.1]}, "bsd68": {"25": [28.5]}},
    },
}  # fmt: skip


def row(page: str, start: str) -> list[str]:
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_noise_is_the_same_for_everyone_and_of_its_strength() -> None:
    photograph = Photograph("set12", 3, np.full((200, 200), 250, np.uint8))
    noise = photograph.noisy(25) - 250
    np.testing.assert_array_equal(photograph.noisy(25) - 250, noise)
    assert noise.std() == pytest.approx(25, rel=0.01)
    assert noise.max() > 50, "not clipped to what a file can hold"
    other = Photograph("set12", 4, photograph.clean).noisy(25) - 250
    assert abs(np.corrcoef(noise.flat, other.flat)[0, 1]) < 0.02


def test_an_answer_is_clipped_and_not_rounded_before_it_is_scored() -> None:
    photograph = Photograph("set12", 0, np.array([[0, 255]], np.uint8))
    assert photograph.psnr(np.array([[-9.0, 254.5]])) == pytest.approx(57.16, abs=0.01)
    assert photograph.psnr(np.array([[0.5, 999.0]])) == pytest.approx(57.16, abs=0.01)


def test_photographs_come_in_order_of_their_names_and_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set12").mkdir()
    for name, level in (("02", 20), ("01", 10)):
        Image.new("L", (3, 2), level).save(tmp_path / "set12" / f"{name}.png")
    found = list(photographs(tmp_path, "set12"))
    assert [(p.place, int(p.clean[0, 0]), p.clean.shape) for p in found] == [
        (0, 10, (2, 3)),
        (1, 20, (2, 3)),
    ]
    with pytest.raises(FileNotFoundError, match="put the photographs there"):
        next(photographs(tmp_path, "bsd68"))


def test_what_bm3d_has_done_is_read_in_the_order_of_the_photographs(tmp_path: Path) -> None:
    lines = [
        {"of": "set12", "place": place, "level": 25, "psnr": psnr, "megapixels": 0.1,
         "seconds": 9.0, "cpu_seconds": 4.0}
        for place, psnr in ((1, 31.0), (0, 29.0))
    ]  # fmt: skip
    results = tmp_path / "bm3d.jsonl"
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert photos.read_bm3d(results) == {
        "psnr": {"set12": {"25": [29.0, 31.0]}}, "megapixels_per_cpu_second": 0.025,
    }  # fmt: skip


def test_the_table_has_ours_beside_bm3d_and_the_literature() -> None:
    page = photos_page.page(FIGURES)
    assert row(page, "**ours, blind**")[1:] == ["**31.50**"] * 6
    assert row(page, "DnCNN-B")[4:] == ["31.61", "29.16", "26.23"]
    assert row(page, "as served")[1:] == ["41.25", "41.25"]
    assert row(page, "BM3D | 0")[2] == "0.01x"
    assert "+0.43, +2.93, +5.88 dB on BSD68" in page


def test_where_bm3d_has_not_done_all_ours_is_told_of_the_same_photographs() -> None:
    page = photos_page.page(FIGURES)
    assert row(page, "BM3D, told")[1:] == [
        "not run", "30.00 (first 2)", "not run", "not run", "28.50 (first 1)", "not run",
    ]  # fmt: skip
    same = ["not run", "31.50", "not run", "not run", "31.00", "not run"]
    assert row(page, "ours, on the photographs")[1:] == same
    figures = copy.deepcopy(FIGURES)
    figures["bm3d"]["psnr"] = {s: {str(n): [30.0, 30.2] for n in LEVELS} for s in SETS}
    page = photos_page.page(figures)
    assert row(page, "BM3D, told")[1:] == ["30.10"] * 6
    assert "ours, on the photographs" not in page


def test_the_page_is_written_without_bm3d_too() -> None:
    figures = copy.deepcopy(FIGURES)
    del figures["bm3d"]
    assert row(photos_page.page(figures), "BM3D, told")[1:] == ["not run"] * 6


def test_the_committed_page_is_what_the_committed_figures_make() -> None:
    figures = json.loads((CHECKOUT / "benchmarks" / "photos.json").read_text())
    written = (CHECKOUT / "docs" / "benchmarks-photos.md").read_text()
    assert written == photos_page.page(figures), "run `python -m benchmarks.photos --only`"


def test_the_figures_are_of_the_model_that_is_shipped() -> None:
    figures = json.loads((CHECKOUT / "benchmarks" / "photos.json").read_text())
    shipped = manifest.read(CHECKOUT / "models" / photos.MODEL / "1")
    assert figures["model"]["graphs"] == sweep.graphs(shipped)
