"""How a test does each thing that the documents say to type, and why some are not done to the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.documents.checks import (
    no_cluster_of_kubernetes,
    no_container,
    no_gpu,
    no_index,
    no_ray,
    only_collected,
    only_explained,
    only_named,
    only_printed,
)
from tests.documents.conftest import Checkout
from tests.documents.runs import (
    as_it_stands,
    as_shown,
    asks,
    builds_and_serves,
    compares_servers,
    deploys,
    serves,
    serves_with_traces,
    shorter,
    swaps_keys,
    trains_on_pictures,
    writes,
)
from tests.server import free_port


@dataclass(frozen=True)
class Way:
    """What a test does in place of the person who types it."""

    run: Callable[[str, Checkout], object]
    why: str = ""  # it is not done to its end
    slow: bool = False


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
    'make train NAME=photo-denoise-color ARGS="--data folder:my-pictures --name my-photos"': Way(
        trains_on_pictures("my-photos", side=128, wider=1), slow=True
    ),
    'make train NAME=cifar10-unet-denoise ARGS="--data folder:my-pictures --name my-denoiser --epochs 100"': Way(
        trains_on_pictures("my-denoiser", side=32, wider=0), slow=True
    ),
    "make train NAME=mnist-mlp-8": Way(shorter('ARGS="--epochs 1"'), slow=True),
    'make train NAME=mnist-colour-vae-16 ARGS="--latents 3 --name mnist-colour-vae-3"': Way(
        shorter('mnist-colour-vae-3 -> mnist-colour-vae-3 --epochs 1'), slow=True
    ),
    ".venv/bin/python -m training list": Way(as_it_stands),
    ".venv/bin/python -m training search": Way(SEARCH),
    "python -m training search": Way(SEARCH),
    "python -m training.readme": Way(writes("README.md")),
    "python -m training baselines": Way(shorter("--results searched")),
    "python -m training report": Way(writes("docs/reproduction.md")),
    "python -m tests.service.test_api_docs": Way(as_it_stands),
    "python -m tests.faults.overload": Way(shorter("1"), slow=True),
    "python -m tests.faults.fuzz 100000 0": Way(shorter("100000 -> 200")),
    "make fuzz": Way(shorter("REQUESTS=200")),
    "python -m benchmarks.cluster": Way(compares_servers),
    "python -m benchmarks.training": Way(
        shorter("--only rates dense --images 2048 --seeds 1"), slow=True
    ),
    "python -m benchmarks.serving": Way(
        shorter(f"--peers --rounds 1 --seconds 0.2 --port {free_port()} --out figures.json"), slow=True
    ),
    "python -m benchmarks.steps": Way(shorter("--connections 2 --pictures 4")),
    "python -m benchmarks.raw models/mnist-mlp-8/1 3 --apart": Way(shorter("1 3 -> 1 0.1")),
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
