"""A real server and real photographs' sizes: 12 and 24 megapixels through curl, in bounded memory."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import manifest
from service.model import Model
from service.settings import Settings
from service.tiling import tiles
from tests.server import Server, serving, until

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT.parent / "shared" / "data" / "photos" / "train400"
MODELS = ("cifar10-conv-denoise", "cifar10-unet-denoise")
SIDE = 500


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    models = tmp_path_factory.mktemp("shipped")
    for name in MODELS:
        if not (ROOT / "models" / name).exists():
            pytest.skip(f"{name} is not there")
        shutil.copytree(ROOT / "models" / name, models / name)
    return models


@pytest.fixture(scope="module")
def server(models) -> Iterator[Server]:
    with serving(models, log_level="error") as server:
        yield server


def photograph(path: Path, width: int, height: int) -> np.ndarray:
    """A JPEG of photographs side by side, or of made-up ones, enlarged and with noise."""
    rng = np.random.default_rng(0)
    files = sorted(PHOTOS.glob("*")) if PHOTOS.is_dir() else []
    whole = np.empty((height, width, 3), np.uint8)
    for i, (top, left) in enumerate(np.ndindex(-(-height // SIDE), -(-width // SIDE))):
        if files:
            small = Image.open(files[i % len(files)]).convert("L").resize((SIDE, SIDE))
            grey = np.asarray(small, np.float32)
        else:
            rows, columns = np.mgrid[:SIDE, :SIDE]
            grey = 120 + 90 * np.sin(rows / (9 + i % 40)) * np.cos(columns / (7 + i % 30))
        part = grey[..., None] * rng.uniform(0.6, 1, 3) + rng.normal(0, 20, (SIDE, SIDE, 3))
        place = whole[top * SIDE : (top + 1) * SIDE, left * SIDE : (left + 1) * SIDE]
        place[:] = np.clip(part, 0, 255)[: place.shape[0], : place.shape[1]]
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down, as a camera held so writes it
    Image.fromarray(whole).save(path, quality=90, exif=exif)
    return whole


def status(pid: int, name: str) -> int:
    """Megabytes of VmRSS, or of VmHWM, the most there ever was of it."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) // 1024


def curl(server: Server, file: Path, model: str, *options: str) -> tuple[str, bytes]:
    """The head and the body of curl's answer, with no option but what a person would give."""
    head, body = file.with_suffix(".head"), file.with_suffix(".body")
    url = f"{server.url}/denoise?model={model}"
    command = ["curl", "-sS", "-D", str(head), "-o", str(body), "--data-binary", f"@{file}"]
    command += ["-H", "Content-Type: image/jpeg", *options, url]
    subprocess.run(command, check=True, timeout=400)
    return head.read_text(), body.read_bytes()


def test_a_12_megapixel_photograph_goes_through_curl_without_an_option(server, tmp_path):
    file = tmp_path / "photograph.jpg"
    photograph(file, 4000, 3000)
    head, body = curl(server, file, "cifar10-conv-denoise")
    assert "200 OK" in head
    assert re.search(r"noise-std: [\d.]+", head)
    made = np.asarray(Image.open(io.BytesIO(body)))
    upright = np.asarray(Image.open(file))[::-1, ::-1]
    assert made.shape == upright.shape
    assert np.abs(made.astype(int) - upright).mean() < 30
    # No seams: where four tiles meet, the answer is that of the place by itself.
    folder = ROOT / "models" / "cifar10-conv-denoise" / "1"
    shape, model = manifest.read(folder).image, Model.open(folder)
    cut = tiles(3000, 4000, context=shape.context, pixels=Settings().tile_pixels)
    assert len(cut) > 15
    for tile in cut[6:15:2]:
        top, left = tile.rows.core.start, tile.columns.core.start
        around = np.s_[max(0, top - 96) : top + 96, max(0, left - 96) : left + 96]
        alone = model.reconstruct(np.ascontiguousarray(upright[around])[None])[0].astype(int)
        inner = np.s_[32:-32, 32:-32]
        assert np.abs(made[around][inner] - alone[inner]).max() <= 1


def test_24_megapixels_need_less_than_a_gigabyte(server, tmp_path):
    file = tmp_path / "photograph.jpg"
    photograph(file, 6000, 4000)
    rest = status(server.process.pid, "VmRSS")
    # Lossless WebP takes the most memory to write.
    head, _ = curl(server, file, "cifar10-conv-denoise", "-H", "Accept: image/webp")
    assert "200 OK" in head
    # The picture itself is the same to any model; this one's activations are ten times as large.
    few = tmp_path / "few.jpg"
    photograph(few, 1500, 1000)
    head, _ = curl(server, few, "cifar10-unet-denoise")
    assert "200 OK" in head
    # What the tiles of both models took, 700 MB, is given back.
    until(lambda: status(server.process.pid, "VmRSS") - rest < 550, 20)
    above = status(server.process.pid, "VmHWM") - rest
    assert above < 1000, f"{above} MB above rest"


def test_two_of_24_megapixels_at_once_are_answered_by_a_server_that_was_told_to_stop(
    models, tmp_path
):
    one, told = tmp_path / "one.jpg", tmp_path / "told.jpg"
    photograph(one, 6000, 4000)
    shutil.copyfile(one, told)
    with serving(models, log_level="error", request_timeout=240) as server:
        rest = status(server.process.pid, "VmRSS")
        accepts = {one: "image/jpeg", told: "multipart/mixed, image/jpeg"}
        with ThreadPoolExecutor() as pool:
            answers = {
                file: pool.submit(curl, server, file, MODELS[0], "-H", f"Accept: {accept}")
                for file, accept in accepts.items()
            }
            waiting = f'autoencoder_waiting_images{{model="{MODELS[0]}",version="1"}} 2.0'
            until(lambda: waiting in server.get("/metrics").text, 120)
            server.process.send_signal(signal.SIGTERM)
            most = rest
            while server.process.poll() is None:
                with contextlib.suppress(OSError, TypeError):  # it has just ended
                    most = max(most, status(server.process.pid, "VmHWM"))
                time.sleep(0.05)
        assert server.process.returncode == 0, server.log
        for file, answer in answers.items():
            head, body = answer.result()
            assert "200 OK" in head
            start = body.index(b"\xff\xd8\xff") if file is told else 0
            made = np.asarray(Image.open(io.BytesIO(body[start:])))
            assert made.shape == (4000, 6000, 3)
            upright = np.asarray(Image.open(one))[::-1, ::-1]
            assert np.abs(made[::7, ::7].astype(int) - upright[::7, ::7]).mean() < 30
    assert most - rest < 2000, f"{most - rest} MB above rest"
