"""Ways to do a command of the documents to its end."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import subprocess
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from PIL import Image

from tests import toys
from tests.documents.conftest import ADDRESS, Checkout
from tests.documents.means import answers, compose, data, started
from tests.documents.pages import ROOT
from tests.server import free_port, serving, until
from tests.service.test_tracing import collector


def as_it_stands(command: str, checkout: Checkout) -> None:
    checkout.run(re.sub(r"\bcurl\b", "curl --fail", command, count=1))


def as_shown(command: str, checkout: Checkout) -> None:
    """docs/api.md shows an error too."""
    checkout.run(command)


def shorter(*changes: str, models: bool = False) -> Callable[[str, Checkout], None]:
    """With what makes it as short as a test must be: `old -> new`, or arguments to add."""

    def run(command: str, checkout: Checkout) -> None:
        data(checkout)
        for change in changes:
            old, arrow, new = change.partition(" -> ")
            command = command.replace(old, new) if arrow else f"{command} {change}"
        printed = checkout.run(command, seconds=600, OMP_NUM_THREADS="1")
        assert printed.strip()

    return run


def serves(command: str, checkout: Checkout) -> None:
    """It listens, is ready, says so by its own command, and ends when asked to."""
    with started(command, checkout) as url:
        checkout.run("autoencoder health", AUTOENCODER_PORT=url.rpartition(":")[2])


def asks(command: str, checkout: Checkout) -> None:
    checkout.run(command, AUTOENCODER_PORT=checkout.server.url.rpartition(":")[2])


def serves_with_traces(command: str, checkout: Checkout) -> None:
    with (
        collector() as (address, spans),
        started(command.replace("http://collector:4318", address), checkout) as url,
    ):
        httpx.get(f"{url}/models", timeout=30).raise_for_status()
        until(lambda: spans, 30)


def swaps_keys(block: str, checkout: Checkout) -> None:
    """Line for line as in the page, on a service with another key."""
    file = checkout.folder / "keys.toml"
    file.write_text(f'[old]\nsha256 = "{hashlib.sha256(b"old").hexdigest()}"\n')
    *making, asking = block.splitlines()
    with serving(checkout.folder / "models", keys_file=file) as server:
        asking = asking.replace("curl", "curl --fail").replace(ADDRESS, server.url)
        checkout.run("\n".join([*making, "sleep 2.5", asking]))
        old = {"Authorization": "Bearer old"}
        assert server.get("/models", headers=old).status_code == 401


def deploys(block: str, checkout: Checkout) -> None:
    """Line for line as in the page; the service follows each."""
    trained = checkout.folder.parent / "trained"
    for version in (1, 2):
        toys.identity(trained, "my-photos", version=version, add=version)

    def served() -> list[int]:
        models = checkout.server.get("/models").json()["models"]
        return sorted(m["version"] for m in models if m["name"] == "my-photos")

    copy, rename, remove, unload, load = block.splitlines()
    for command, versions in (
        (copy, []), (rename, [1, 2]), (remove, [1]), (unload, []), (load, [1]),
    ):  # fmt: skip
        checkout.run(command.replace("curl", "curl --fail"))
        until(lambda versions=versions: served() == versions, 20)


def trains_on_pictures(name: str, *, side: int, wider: int) -> Callable[[str, Checkout], None]:
    """Twenty of them, the fewest that are taken, each `wider` than the one before."""

    def run(command: str, checkout: Checkout) -> None:
        folder, rng = checkout.folder / "my-pictures", np.random.default_rng(0)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for i in range(20):
            pixels = rng.integers(0, 256, (side, side + i * wider, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
        command = command.replace(" --epochs 100", "").replace(name, f"{name} --epochs 1")
        checkout.run(command, seconds=600)
        assert (checkout.folder / "models" / name / "1" / "model.json").is_file()
        shutil.rmtree(checkout.folder / "models" / name)

    return run


def writes(name: str) -> Callable[[str, Checkout], None]:
    """It writes the committed file again, and finds nothing to change."""

    def run(command: str, checkout: Checkout) -> None:
        checkout.run(command)
        assert (checkout.folder / name).read_bytes() == (ROOT / name).read_bytes()

    return run


def compares_servers(command: str, checkout: Checkout) -> None:
    server = f"{checkout.server.url.removeprefix('http://')}@{checkout.server.process.pid}"
    checkout.run(f"{command} one={server} other={server} --rounds 1 --seconds 0.3")


def builds_and_serves(_: str, checkout: Checkout) -> None:
    """The image, and the container as docker-compose.yml has it; where there is an engine."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no container engine answers here")
    port, options = free_port(), {"seconds": 1800.0}
    checkout.run(
        "DOCKER_BUILDKIT=1 docker build --network=host -t autoencoder-service .", **options
    )
    environment = {"AUTOENCODER_PORT": str(port), "COMPOSE_PROJECT_NAME": "of-a-test"}
    up = f"{' '.join(compose())} up"
    process = subprocess.Popen(
        up.split(), cwd=checkout.folder, env=checkout.environment | environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/health/ready"
        until(lambda: answers(url), 120)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        checkout.run(f"{' '.join(compose())} down", **environment)
