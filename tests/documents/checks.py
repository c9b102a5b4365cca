"""What can be said of a command of the documents that is not done to its end."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib

import yaml
from packaging.requirements import Requirement

from tests.documents.conftest import Checkout
from tests.documents.means import compose
from tests.documents.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


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
