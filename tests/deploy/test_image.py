"""What the Dockerfile promises about the image, read from it as data."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.deploy import dockerfile
from tests.deploy.scripts import ROOT, SCRIPTS, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

each_target = pytest.mark.parametrize("target", ["cpu", "gpu"])


@pytest.fixture
def requirements(tmp_path):
    """What the image's own step makes of pyproject.toml: extra -> requirements."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    for step in dockerfile.STAGES["requirements"]:
        if step.instruction == "RUN":
            subprocess.run(
                ["sh", "-c", step.words], cwd=tmp_path, env={"PATH": path}, check=True, timeout=60
            )
    return {
        extra: [Requirement(line) for line in (tmp_path / f"{extra}.txt").read_text().splitlines()]
        for extra in ("cpu", "gpu")
    }


def installs(requirements):
    """Every distribution that comes with these, as far as they are installed here."""
    seen, waiting = set(), [(r.name, frozenset(r.extras)) for r in requirements]
    while waiting:
        wanted = name, extras = waiting.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        waiting += [
            (child.name, frozenset(child.extras))
            for child in map(Requirement, needed)
            if child.marker is None
            or any(child.marker.evaluate({"extra": extra}) for extra in extras or {""})
        ]
    return {canonicalize_name(name) for name, _ in seen}


def test_hadolint_finds_nothing_to_say_about_the_dockerfile():
    lint = run("hadolint", ROOT / "Dockerfile")
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")


def test_an_image_built_without_naming_a_target_runs_on_the_cpu():
    assert list(dockerfile.STAGES)[-1] == "cpu"
    assert dockerfile.environment("cpu")["AUTOENCODER_DEVICE"] == "cpu"


def test_the_gpu_image_asks_for_cuda_and_for_the_drivers_libraries():
    environment = dockerfile.environment("gpu")
    assert environment["AUTOENCODER_DEVICE"] == "cuda"
    assert "compute" in environment["NVIDIA_DRIVER_CAPABILITIES"].split(",")


@each_target
def test_the_service_runs_as_an_ordinary_user_given_by_number(target):
    assert dockerfile.steps(target, "USER")[-1] == "10001:10001"


@each_target
def test_nothing_but_the_user_is_made_in_the_final_image_so_no_compiler_or_installer_ran(target):
    assert [step.split()[0] for step in dockerfile.steps(target, "RUN")] == ["groupadd"]


@each_target
def test_the_service_is_reachable_from_outside_its_container(target):
    assert dockerfile.environment(target)["AUTOENCODER_HOST"] == "0.0.0.0"


@each_target
def test_onnxruntime_is_told_not_to_report_to_its_maker(target):
    assert dockerfile.environment(target)["ORT_DISABLE_TELEMETRY"] == "1"


@each_target
def test_the_command_of_the_image_is_a_command_of_the_console_script(target):
    shown = run(*dockerfile.command(target), "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--models-dir" in shown.stdout


@each_target
def test_the_health_check_fails_where_nothing_answers(target):
    settings = dockerfile.environment(target)
    with socket.socket() as taken:  # bound but not listening: refused, and nobody else's
        taken.bind(("127.0.0.1", 0))
        settings["AUTOENCODER_PORT"] = str(taken.getsockname()[1])
        asked = run(*dockerfile.health_command(target), environment=settings)
    assert asked.returncode == 1
    assert "no answer from http://127.0.0.1:" in asked.stderr


def test_the_image_installs_the_base_what_traces_need_and_one_build_of_onnxruntime(requirements):
    traces = PROJECT["optional-dependencies"]["otel"]
    base = {Requirement(line).name for line in PROJECT["dependencies"] + traces}
    assert {r.name for r in requirements["cpu"]} == base | {"onnxruntime"}
    assert {r.name for r in requirements["gpu"]} == base | {"onnxruntime-gpu"}


@each_target
def test_no_torch_comes_with_what_the_image_installs(requirements, target):
    training = map(Requirement, PROJECT["optional-dependencies"]["training"])
    assert "torch" in installs(training), "or this test would not notice it"
    served = installs(requirements[target])
    assert "starlette" in served, "or this test would not see what a dependency brings"
    assert served.isdisjoint({"torch", "torchvision", "onnx"})


def test_the_build_sees_exactly_what_the_dockerfile_copies():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    copied = {
        source
        for stage in dockerfile.STAGES.values()
        for step in stage
        if step.instruction == "COPY" and "--from=" not in step.words
        for source in step.words.split()[:-1]
        if not source.startswith("--")
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_every_stage_has_the_same_python_one_that_the_project_supports():
    (base,) = {base for base in dockerfile.BASES.values() if base not in dockerfile.STAGES}
    version = base.removeprefix("python:").partition("-")[0]
    assert version in SpecifierSet(PROJECT["requires-python"])


@each_target
def test_the_images_version_is_the_projects(target):
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in " ".join(
        dockerfile.steps(target, "LABEL")
    )
