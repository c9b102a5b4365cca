"""How a test does each thing that the documents say to type, and why some are not done to the end."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image

from tests import toys
from tests.documents.conftest import ADDRESS, Checkout
from tests.documents.pages import ROOT
from tests.server import free_port, serving, until
from tests.service.test_tracing import collector

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@dataclass(frozen=True)
class Way:
    """What a test does in place of the person who types it."""

    run: Callable[[str, Checkout], object]
    why: str = ""  # it is not done to its end
    slow: bool = False


# Done to the end


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


def trains_on_pictures(command: str, checkout: Checkout) -> None:
    folder, rng = checkout.folder / "my-pictures", np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for i in range(20):  # the fewest that are taken
        Image.fromarray(rng.integers(0, 256, (130, 128 + i, 3), np.uint8)).save(folder / f"{i}.png")
    checkout.run(command.replace("my-photos", "my-photos --epochs 1"), seconds=600)
    assert (checkout.folder / "models/my-photos/1/model.json").is_file()
    shutil.rmtree(checkout.folder / "models/my-photos")


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


# Not done to the end


def no_container(command: str, checkout: Checkout) -> None:
    """The profiles and services are there; compose itself takes the file and the options."""
    rest = shlex.split(command)[command.startswith("docker compose ") + 1 :]
    profiles = {rest[i + 1] for i, word in enumerate(rest) if word == "--profile"}
    named = set(rest[rest.index("up") + 1 :]) - {"-d"}
    assert profiles <= {p for service in COMPOSE.values() for p in service.get("profiles", ())}
    assert named <= COMPOSE.keys()
    options = rest[: rest.index("up")]
    if program := compose():
        checkout.run(shlex.join([*program, *options, "config", "--quiet"]))


def no_index(command: str, _: Checkout) -> None:
    """The project's own folder, with extras that it has."""
    program, install, what = shlex.split(command)
    assert (program, install) == ("pip", "install")
    extras = Requirement(what.replace(".", "autoencoder-service", 1)).extras
    assert extras <= PROJECT["optional-dependencies"].keys()


def no_cluster_of_kubernetes(command: str, checkout: Checkout) -> None:
    """Kubectl reads each object of the file; tests/deploy holds them to Kubernetes' schemas."""
    match = re.fullmatch(r"kubectl apply -f (\S+)", command)
    assert match, command
    assert list(yaml.safe_load_all((ROOT / match[1]).read_text()))
    if shutil.which("kubectl"):
        checkout.run(f"kubectl label --local -f {match[1]} read=yes -o name")


def no_ray(command: str, checkout: Checkout) -> None:
    """tests/deploy/test_cluster.py runs it where Ray is; here what it names is there."""
    assert command.endswith("serve run deploy/ray.yaml"), command
    (application,) = yaml.safe_load((ROOT / "deploy/ray.yaml").read_text())["applications"]
    module, _, name = application["import_path"].partition(":")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert re.search(rf"^(def {name}\b|{name}\b.* =)", source, re.MULTILINE)


def only_collected(command: str, checkout: Checkout) -> None:
    """Pytest takes the options and finds the tests, or says what they need."""
    outcome = checkout.run(f"{command} --collect-only -q || test $? = 5")
    assert "test" in outcome or "skipped" in outcome


def only_printed(command: str, checkout: Checkout) -> None:
    """Make has the target, and prints what it would do."""
    assert checkout.run(f"make -n {command.removeprefix('make ')}").strip()


def no_gpu(command: str, checkout: Checkout) -> None:
    """It says that there is none."""
    printed = checkout.run(command, fails=True)
    assert "CUDA" in printed
    assert "DeviceError" in printed


def only_explained(command: str, checkout: Checkout) -> None:
    assert command in checkout.run(f"{command} --help")


def only_named(command: str, _: Checkout) -> None:
    assert shutil.which(command.split(maxsplit=1)[0]) or command.startswith("docker")


# What they need


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


PUBLIC = Path("docs/api.md")
INDEX = "it asks a package index, which a test must not need; .ci/run installs from one"
ENGINE = "without a container engine only its file and options; the slow test builds and serves"
KEYS = """\
KEY=$(python3 -c "import secrets; print(secrets.token_urlsafe(32))")
printf '[alice]\\nsha256 = "%s"\\n' "$(printf %s "$KEY" | sha256sum | cut -d ' ' -f 1)" > keys.new
mv keys.new keys.toml
curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/models"""
DEPLOY = """\
cp -r ../trained/my-photos models/.my-photos
mv models/.my-photos models/my-photos
rm -r models/my-photos/2
curl -X POST http://127.0.0.1:8000/v2/repository/models/my-photos/unload
curl -X POST http://127.0.0.1:8000/v2/repository/models/my-photos/load"""
# Its table is not to be the one that the report is made from.
SEARCH = shorter("--draws 2 --folds 2 --epochs 1 --processes 1 --results searched")

# Each command, as it is typed.
WAYS = {
    "make serve": Way(serves),
    "autoencoder serve": Way(serves),
    "autoencoder health": Way(asks),
    ". .venv-cpu/bin/activate": Way(as_it_stands),
    "AUTOENCODER_OTLP_ENDPOINT=http://collector:4318 autoencoder serve": Way(serves_with_traces),
    KEYS: Way(swaps_keys),
    DEPLOY: Way(deploys),
    'make train NAME=photo-denoise-color ARGS="--data folder:my-pictures --name my-photos"': Way(trains_on_pictures, slow=True),
    "make train NAME=mnist-mlp-8": Way(shorter('ARGS="--epochs 1"'), slow=True),
    ".venv/bin/python -m training list": Way(as_it_stands),
    ".venv/bin/python -m training search": Way(SEARCH),
    "python -m training search": Way(SEARCH),
    "python -m training.readme": Way(writes("README.md")),
    "python -m training report": Way(writes("docs/reproduction.md")),
    "python -m tests.service.test_api_docs": Way(as_it_stands),
    "python -m tests.faults.overload": Way(shorter("1"), slow=True),
    "python -m tests.faults.fuzz 100000 0": Way(shorter("100000 -> 200")),
    "make fuzz": Way(shorter("REQUESTS=200")),
    "python -m benchmarks.cluster": Way(compares_servers),
    "python -m benchmarks.training mnist-conv-6 --images 12288 --rounds 3": Way(
        shorter("12288 -> 256", "--rounds 3 -> --rounds 1"), slow=True
    ),
    "python -m benchmarks.serving": Way(
        shorter(f"--peers --rounds 1 --seconds 0.2 --port {free_port()} --out figures.json"), slow=True
    ),
    "python -m benchmarks.codecs": Way(shorter("--rounds 1"), slow=True),
    "docker build -t autoencoder-service .": Way(builds_and_serves, slow=True),
    # Not to the end.
    "docker-compose up": Way(no_container, ENGINE),
    "docker compose up": Way(no_container, ENGINE),
    "docker compose up gpu": Way(no_container, "it needs NVIDIA's driver"),
    "docker compose --profile monitoring up": Way(no_container, "its images come from a registry"),
    "pip install '.[client]'": Way(no_index, INDEX),
    "pip install '.[cpu,otel]'": Way(no_index, INDEX),
    "pip install '.[cpu,cluster]'": Way(no_index, INDEX),
    "make serve RUNTIME=gpu": Way(only_printed, "it needs a GPU"),
    "make audit": Way(only_printed, "it asks PyPI which versions have known faults"),
    "make test": Way(only_printed, "it is what runs this"),
    "make soak": Way(only_printed, "as long as it is told"),
    "make soak SECONDS=1800": Way(only_printed, "half an hour; a shorter slope says nothing"),
    "kubectl apply -f deploy/kubernetes.yaml": Way(no_cluster_of_kubernetes, "it needs a cluster"),
    "kubectl apply -f deploy/kserve.yaml": Way(no_cluster_of_kubernetes, "it needs a cluster"),
    "serve run deploy/ray.yaml": Way(no_ray, "it needs the extra cluster: `pytest -m cluster`"),
    "RAY_USAGE_STATS_ENABLED=0 serve run deploy/ray.yaml": Way(no_ray, "as above"),
    "pytest -m cluster tests/deploy/test_cluster.py -s": Way(only_collected, "as above"),
    "python -m benchmarks.gpu": Way(no_gpu, "it needs a GPU"),
    "python -m benchmarks.photos": Way(only_explained, "BM3D alone takes half an hour"),
    "autoencoder denoise": Way(only_explained, "of which pictures is for the reader to say"),
    "docker stop": Way(only_named, "of which container is for the reader to say"),
    "kill -9": Way(only_named, "of which process is what the fault tests say"),
}  # fmt: skip


def way(page: str, command: str) -> Way | None:
    """How it is run; calls of the service are run as they stand. None: nobody has said how."""
    if page == PUBLIC.name and command not in WAYS:
        return Way(as_shown) if re.match(r"curl |printf .* curl ", command) else None
    if command not in WAYS and re.match(r"curl |autoencoder (?!serve|health)", command):
        return Way(as_it_stands)
    return WAYS.get(command)
