"""What the commands of the documents need: a server, a compose, a small data set."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from tests.documents.conftest import Checkout
from tests.server import free_port, until


@contextmanager
def started(command: str, checkout: Checkout) -> Iterator[str]:
    """The address of what a command serves; it ends with status 0 when asked to."""
    port = free_port()
    process = subprocess.Popen(
        ["bash", "-euc", command], cwd=checkout.folder, start_new_session=True,
        env=checkout.environment | {"AUTOENCODER_PORT": str(port), "AUTOENCODER_LAME_DUCK": "0"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{url}/health/ready"), 120)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def compose() -> list[str]:
    """The command of the compose that is installed; empty where none is."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    found = shutil.which("docker") and subprocess.run(
        [*plugin, "version"], capture_output=True, check=False
    )
    return plugin if found and not found.returncode else []


def data(checkout: Checkout) -> None:
    """A small MNIST where the commands look for the real one: bars of three widths."""
    raw = checkout.folder.parent / "shared/data/MNIST/raw"
    if raw.exists():
        return
    raw.mkdir(parents=True)
    for prefix, count in (("train", 12_400), ("t10k", 60)):
        rng = np.random.default_rng(count)
        pixels, labels = np.zeros((count, 28, 28), np.uint8), rng.integers(0, 3, count)
        for image, label in zip(pixels, labels, strict=True):
            image[4:-4, 4 + label : 9 + 3 * label] = rng.integers(120, 256)
        head = struct.pack(">IIII", 2051, count, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">II", 2049, count)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())
