"""Every query of every dashboard, against what the service really says at /metrics.

Read as PromQL, name by name and label by label; and, where Prometheus is installed, asked of a
real one that scrapes a real service.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import numpy as np
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.client import Client, ServiceError
from service.settings import Settings
from tests import toys
from tests.deploy.scripts import ROOT
from tests.listening import listening
from tests.server import free_port

DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PANELS = [
    (panel["title"], target["expr"])
    for file in DASHBOARDS
    for panel in json.loads(file.read_text())["panels"]
    for target in panel.get("targets", ())
]
# What Prometheus adds to each sample, and makes itself.
SCRAPED = {"job", "instance"}
OF_PROMETHEUS = {"up": SCRAPED}
# Of NVIDIA's exporter, as its list of default counters has them: it needs a GPU to be asked.
OF_THE_GPU = {
    f"DCGM_FI_DEV_{name}": {"gpu", "UUID", "device", "modelName", "Hostname"} | SCRAPED
    for name in ("GPU_UTIL", "FB_USED", "POWER_USAGE", "GPU_TEMP")
}


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """A service that has met all that the panels show: images, references, errors."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    toys.variational(models)
    toys.identity(models, "toy-photo", size=None, add=9, kurtoses=tuple(range(101)))
    with listening(create_app(Settings(models_dir=models, max_bytes_in_flight=200_000))) as url:
        traffic(url)
        refusal(url)
        yield url


def traffic(url: str) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (9, 12, 12), np.uint8)
    with Client(url, retries=0) as client:
        client.denoise(batch, model="toy-identity", simulate="gaussian:0.1", seed=1)
        client.reconstruct(batch, model="toy-vae")
        client.denoise(np.zeros((64, 64), np.uint8), model="toy-photo")
        client.ready()


def refusal(url: str) -> None:
    """A caller that stops in its body holds all that the service may hold: the next is refused."""
    host, _, port = url.removeprefix("http://").partition(":")
    picture = np.zeros((300, 300), np.uint8)  # more than is left, however late the body is counted
    with socket.create_connection((host, int(port))) as slow, Client(url, retries=0) as client:
        head = "POST /denoise HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
        slow.sendall(f"{head}Content-Length: 200000\r\n\r\n".encode() + bytes(199_900))

        def until_it_is_read() -> None:
            for _ in range(100):
                client.denoise(picture, model="toy-photo", quality=False)

        with pytest.raises(ServiceError):
            until_it_is_read()


@pytest.fixture(scope="module")
def exported(url) -> dict[str, set[str]]:
    """Every sample of /metrics, with the labels it has."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    assert found
    return {name: labels | SCRAPED for name, labels in found.items()}


def filled_in(query: str) -> str:
    """The query as Grafana sends it."""
    return query.replace("$__rate_interval", "10s").replace("$model", ".*")


def selectors(node: object, groups: frozenset[str] = frozenset()) -> Iterator[tuple[str, set[str]]]:
    """Every metric a query reads, with the labels that it must have."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, {matcher.name for matcher in node.matchers.matchers} | groups
        return
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        groups = groups | set(node.modifier.labels)
    if isinstance(node, promql_parser.Call) and node.func.name == "histogram_quantile":
        groups = groups | {"le"}
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child, groups)
    for child in getattr(node, "args", None) or ():
        yield from selectors(child, groups)


def missing(query: str, exported: dict[str, set[str]]) -> str:
    """What a query reads that nothing exports; empty where all is there."""
    known = {**exported, **OF_PROMETHEUS, **OF_THE_GPU}
    for name, labels in selectors(promql_parser.parse(filled_in(query))):
        if name not in known:
            return f"there is no metric {name}"
        if not labels <= known[name]:
            return f"{name} has no label {', '.join(sorted(labels - known[name]))}"
    return ""


def test_there_are_panels_for_all_that_an_operator_asks():
    rows = {
        panel["title"].split(",")[0]
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        if panel["type"] == "row"
    }
    assert rows >= {
        "Traffic", "Latency by phase", "Batching and queue", "Quality by model", "Drift",
        "Workers", "GPU",
    }  # fmt: skip
    assert len(PANELS) > 30


@pytest.mark.parametrize(("title", "query"), PANELS)
def test_a_panel_reads_metrics_and_labels_that_the_service_exports(exported, title, query):
    assert missing(query, exported) == ""


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("rate(autoencoder_request_total[1m])", "no metric autoencoder_request_total"),
        ('autoencoder_waiting_images{modle="x"}', "no label modle"),
        ("sum by (verb) (rate(autoencoder_queue_seconds_bucket[1m]))", "no label verb"),
        ("histogram_quantile(0.5, rate(autoencoder_queue_seconds_sum[1m]))", "no label le"),
    ],
)
def test_a_panel_that_reads_anything_else_would_be_noticed(exported, query, says):
    assert says in missing(query, exported)


def test_a_panel_belongs_to_the_data_source_that_is_provided():
    provided = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    uid = provided["datasources"][0]["uid"]
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        identities = [panel["id"] for panel in board["panels"]]
        assert len(set(identities)) == len(identities)
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                assert target["datasource"]["uid"] == panel["datasource"]["uid"] == uid


def program(name: str) -> str:
    """Where a program of Prometheus lies; without it the test is skipped."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


def test_prometheus_finds_nothing_wrong_with_its_configuration():
    check = subprocess.run(
        [program("promtool"), "check", "config", ROOT / "deploy/prometheus.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert check.returncode == 0, check.stdout + check.stderr


def test_a_real_prometheus_has_an_answer_for_every_panel(url, tmp_path):
    """By the committed configuration, but for the address and the interval."""
    configuration = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    configuration["global"]["scrape_interval"] = "1s"
    configuration["scrape_configs"][0]["static_configs"][0]["targets"] = [url.split("//")[1]]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            unanswered = [panel for panel in PANELS if panel[1] not in OF_THE_GPU]
            for _ in range(60):
                time.sleep(1)
                traffic(url)  # rates and quantiles are of what goes on
                unanswered = [panel for panel in unanswered if not values(address, panel[1])]
                if not unanswered:
                    break
        finally:
            process.terminate()
    assert unanswered == []


def values(address: str, query: str) -> list[float]:
    """What Prometheus answers now; NaN, of what had no traffic, is no answer."""
    try:
        answer = httpx.get(f"http://{address}/api/v1/query", params={"query": filled_in(query)})
    except httpx.TransportError:  # it is still starting
        return []
    if answer.status_code == 503:
        return []
    assert answer.status_code == 200, answer.text
    found = [float(series["value"][1]) for series in answer.json()["data"]["result"]]
    return [value for value in found if not np.isnan(value)]
