"""The README is true: its commands run as written, its pictures are what comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import images
from tests.server import serving

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
CURLS = [block for block in BLOCKS if block.startswith("curl")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The shipped models, served as the README's first command serves them."""
    with serving(ROOT / "models") as server:
        yield server.url


@pytest.fixture
def run(url, tmp_path):
    """Runs a block of the README, its files written into a folder of the test's."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def run(block: str) -> tuple[bytes, Path]:
        command = block.replace(ADDRESS, url).replace("-o ", f"-o {tmp_path}/")
        done = subprocess.run(
            ["bash", "-euc", command.replace("curl ", "curl -sSf ")],
            cwd=ROOT, capture_output=True, check=True,
        )  # fmt: skip
        return done.stdout, tmp_path

    return run


def test_there_are_commands_to_try():
    assert len(CURLS) >= 3


def test_the_noisy_picture_comes_back_clean_as_the_readme_shows(run):
    _, folder = run(next(block for block in CURLS if "noisy-cifar10" in block))
    returned = images.decode((folder / "clean.png").read_bytes())
    shown = images.decode((ROOT / "docs/examples/denoised-cifar10.png").read_bytes())
    assert np.abs(returned.astype(int) - shown).max() <= 2


@pytest.mark.parametrize("data", ["mnist", "mnist-colour", "photos", "cifar10"])
def test_the_pictures_shown_are_closer_to_the_original_after_than_before(data):
    noisy, denoised, clean = (
        images.decode((ROOT / f"docs/examples/{kind}-{data}.png").read_bytes()).astype(float)
        for kind in ("noisy", "denoised", "clean")
    )
    assert np.square(denoised - clean).mean() < np.square(noisy - clean).mean()


def test_simulated_noise_is_scored_before_and_after(run):
    output, _ = run(next(block for block in CURLS if "simulate" in block))
    body = json.loads(output)
    assert set(body["quality"]["before"]["mean"]) == {"mse", "psnr", "ssim", "snr"}
    assert body["quality"]["gain_db"] != 0


def test_the_commands_of_the_shell_make_the_pictures_that_are_shown(url, tmp_path):
    (block,) = [block for block in BLOCKS if "autoencoder denoise" in block]
    entering, *commands = block.splitlines()
    assert entering.startswith(". .venv-cpu/bin/activate")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=tmp_path, env={**os.environ, "AUTOENCODER_URL": url, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mnist-colour-unet/1" in done.stderr, "the best for coloured digits is named"
    assert "mnist-unet-denoise" in done.stdout, "and each is in the list"
    noisy = (ROOT / "docs/examples").glob("noisy-*.png")
    assert {p.name for p in (tmp_path / "clean").iterdir()} == {p.name for p in noisy}
    for name, frames in {"walk.gif": 20, "digits.png": 1}.items():
        with (
            Image.open(tmp_path / name) as made,
            Image.open(ROOT / "docs/examples" / name) as shown,
        ):
            assert getattr(made, "n_frames", 1) == getattr(shown, "n_frames", 1) == frames
            made.seek(frames - 1)
            shown.seek(frames - 1)
            difference = np.asarray(made.convert("L"), int) - np.asarray(shown.convert("L"))
            assert np.abs(difference).mean() < 1


def test_the_lines_of_python_run(url):
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", lines.replace(ADDRESS, url)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("mnist-unet-denoise (28, 28, 1)")


def test_every_file_the_readme_points_to_is_there():
    for target in re.findall(r'\]\(([^)#:]+)\)|src="([^"]+)"', README):
        assert (ROOT / "".join(target)).exists(), target


def test_every_make_target_of_the_readme_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:`|^|: )make ([a-z-]+)", README, re.MULTILINE)
    assert {"serve", "test", "train"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_table_of_models_is_the_one_the_manifests_give():
    readme = pytest.importorskip("training.readme", exc_type=ImportError)
    assert readme.table(ROOT / "models") in README, "run: python -m training.readme"
