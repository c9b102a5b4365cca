"""What docker-compose.yml promises, read from it as data."""

from __future__ import annotations

import re

import pytest
import yaml

from service.settings import Settings
from tests.deploy import dockerfile
from tests.deploy.scripts import ROOT, run

FILE = ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]

# The container's own: the image sets them, or the port's mapping does.
OF_THE_IMAGE = {"host", "port", "models_dir", "device"}

# Built here; the others are somebody else's images, to watch these with.
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WATCHING = set(SERVICES) - set(OURS)

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def published(name, **environment):
    """The service's ports, with `${NAME:-default}` filled in."""

    def value(match):
        return environment.get(match[1]) or match[2]

    return [re.sub(r"\$\{(\w+):-([^}]*)\}", value, port) for port in SERVICES[name]["ports"]]


def test_the_file_is_as_the_compose_specification_says():
    check = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)
    assert check.returncode == 0, check.stdout + check.stderr


def test_what_starts_by_default_needs_no_gpu():
    default = {name: service for name, service in SERVICES.items() if "profiles" not in service}
    assert list(default) == ["autoencoder"]
    service = default["autoencoder"]
    assert service["build"]["target"] == "cpu"
    assert not {"deploy", "devices", "gpus", "runtime"} & set(service)


def test_the_gpu_is_used_only_when_asked_for():
    service = SERVICES["gpu"]
    assert service["profiles"] == ["gpu"]
    assert service["build"]["target"] == "gpu"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]


def test_the_two_images_do_not_overwrite_each_other():
    images = [service["image"] for service in SERVICES.values()]
    assert len(set(images)) == len(images)


@each_service
def test_a_container_can_change_nothing_and_gain_no_rights(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"][0] == "/tmp"
    assert not {"privileged", "cap_add", "user", "pid", "network_mode"} & set(service)
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))


@each_of_ours
def test_the_service_keeps_nothing_on_a_disk(name):
    assert "volumes" not in SERVICES[name]
    assert SERVICES[name]["tmpfs"] == ["/tmp"]


def test_what_watches_starts_only_when_asked_for_and_is_seen_from_this_machine_alone():
    assert {"prometheus", "grafana"} <= WATCHING
    for name in WATCHING:
        service = SERVICES[name]
        assert service["profiles"][0].endswith("monitoring")
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), "an exact version"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for volume in service.get("volumes", ()):
            source, _, _ = volume.partition(":")
            if source.startswith("."):
                assert volume.endswith(":ro")
                assert (ROOT / source).is_dir()


def test_prometheus_reaches_either_service_and_grafana_finds_what_it_shows():
    scraped = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    targets = [t for job in scraped for static in job["static_configs"] for t in static["targets"]]
    assert targets == ["autoencoder:8000", "dcgm:9400"]
    assert SERVICES["gpu"]["networks"]["default"]["aliases"] == ["autoencoder"]
    assert "--config.file=/etc/autoencoder/prometheus.yml" in SERVICES["prometheus"]["command"]
    provisioning = ROOT / "deploy/grafana/provisioning"
    source = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((provisioning / "dashboards/autoencoder.yml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert (ROOT / folder.replace("/etc/autoencoder", "deploy")).is_dir()
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / home.replace("/etc/autoencoder", "deploy")).is_file()


@each_service
def test_a_container_comes_back_unless_stopped(name):
    assert SERVICES[name]["restart"] == "unless-stopped"


@each_of_ours
def test_a_container_tells_its_health(name):
    service = SERVICES[name]
    marker, *command = service["healthcheck"]["test"]
    assert marker == "CMD"
    assert command == dockerfile.health_command(service["build"]["target"])


@each_of_ours
def test_the_service_is_published_to_this_machine_alone_unless_asked(name):
    assert published(name) == ["127.0.0.1:8000:8000"]
    assert published(name, AUTOENCODER_PORT="9000") == ["127.0.0.1:9000:8000"]
    assert published(name, AUTOENCODER_HOST="0.0.0.0") == ["0.0.0.0:8000:8000"]
    assert dockerfile.steps(SERVICES[name]["build"]["target"], "EXPOSE") == ["8000"]


@each_of_ours
def test_every_setting_is_passed_on_where_it_is_set_and_left_alone_where_not(name):
    settings = set(Settings.model_fields) - OF_THE_IMAGE
    assert SERVICES[name]["environment"] == {f"AUTOENCODER_{s.upper()}": None for s in settings}
