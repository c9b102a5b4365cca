"""The models folder changes under a service at work: nothing fails, and nothing is mixed."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest

from service import manifest
from tests import toys
from tests.faults.load import Load
from tests.server import Server, resident, serving, until
from tests.service.test_catalog import republish

SOON = 20  # seconds; a look at the folder is due every 0.2 s


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A service that looks at its folder often."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    with serving(models, reload_seconds=0.2, max_quality_loss=3) as server:
        server.models = models
        yield server


@pytest.fixture(autouse=True)
def as_before(server):
    """Every test starts with version 1 alone."""
    yield
    for folder in (server.models / "toy-identity").iterdir():
        if folder.name != "1":
            shutil.rmtree(folder)
    toys.identity(server.models)
    until(lambda: versions(server) == [1] and not refused(server), 60)


def versions(server: Server) -> list[int]:
    return server.get("/models/toy-identity").json()["versions"]


def refused(server: Server) -> dict[str, str]:
    return server.get("/models").json()["refused"]


def spoilt(server: Server, reason: str) -> None:
    """The first version serves on, and the reason is told."""
    until(lambda: reason in refused(server).get("toy-identity/1", ""), SOON)
    with Load(server.url, callers=2) as load:
        load.wait(20, 60)
    assert not load.wrong, load
    assert not load.refused, load
    assert server.ready(), "it answers as known, from memory"


def test_a_new_version_takes_over_under_load_and_is_rolled_back_by_removing_it(server):
    with Load(server.url, callers=4, adds={1: 0, 2: 10}, timeout=60) as load:
        load.wait(20, 60)
        second = toys.identity(server.models, version=2, add=10)
        until(lambda: load.versions[2], SOON * server.slowness)
        shutil.rmtree(second)
        until(lambda: versions(server) == [1], SOON * server.slowness)
        load.wait(20, 60)
    assert not load.wrong, load
    assert not load.refused, load
    assert not load.failed, load
    assert load.versions[1] > 20
    assert load.versions[2]


def test_a_storm_of_reloads_fails_and_mixes_nothing(server):
    storm(server, reloads=15, rate=60)


@pytest.mark.soak
def test_200_reloads_under_200_requests_a_second(server):
    print(storm(server, reloads=200, rate=200))


def storm(server: Server, *, reloads: int, rate: float) -> Load:
    """Version 1 is replaced again and again, now brighter by 3 and now not, while it answers."""
    path = f"{server.url}/v2/repository/models/toy-identity/load"
    with Load(server.url, callers=4, rate=rate, adds={1: 0, 2: 10}, timeout=60) as load:
        for i in range(reloads):
            if i % 2:
                shutil.rmtree(server.models / "toy-identity" / "2")
            else:
                toys.identity(server.models, version=2, add=10)
            assert httpx.post(path, timeout=60).status_code == 200
        load.wait(10, 60)
    assert not load.wrong, load
    assert not load.refused, load
    assert not load.failed, load
    assert set(load.versions) == {1, 2}
    return load


def test_a_file_that_is_truncated_while_it_is_served_harms_nobody(server):
    path = server.models / "toy-identity" / "1" / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:100])
    spoilt(server, "decoder.onnx has changed")


def test_a_file_that_is_replaced_by_another_graph_is_not_served(server):
    folder = server.models / "toy-identity" / "1"
    toys.identity(server.models.parent / "other", add=50)
    shutil.copy(server.models.parent / "other" / "toy-identity" / "1" / "decoder.onnx", folder)
    spoilt(server, "decoder.onnx has changed")
    shutil.rmtree(server.models.parent / "other")


def test_a_file_that_is_deleted_while_it_is_served_harms_nobody(server):
    (server.models / "toy-identity" / "1" / "encoder.onnx").unlink()
    spoilt(server, "encoder.onnx is missing")


def test_a_manifest_that_is_half_written_is_not_believed(server):
    path = server.models / "toy-identity" / "1" / manifest.FILE
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    spoilt(server, "model.json")


def test_a_version_with_another_golden_answer_is_not_served(server):
    bad = toys.identity(server.models, version=2, add=10)
    text = (bad / manifest.FILE).read_text()
    good = (server.models / "toy-identity" / "1" / manifest.FILE).read_text()
    answer = manifest.Manifest.model_validate_json(good).golden.reconstruction
    own = manifest.Manifest.model_validate_json(text).golden.reconstruction
    shutil.rmtree(bad)
    staging = server.models / ".staging"
    whole = toys.identity(staging, version=2, add=10)
    (whole / manifest.FILE).write_text(text.replace(own, answer))
    whole.rename(bad)
    shutil.rmtree(staging)
    until(lambda: "golden" in refused(server).get("toy-identity/2", ""), SOON * server.slowness)
    assert versions(server) == [1]


def test_a_version_that_lost_quality_is_not_served_and_says_so(server):
    toys.identity(server.models, version=2, psnr=10)
    until(lambda: "below version 1's" in refused(server).get("toy-identity/2", ""), SOON)
    assert versions(server) == [1]


def test_a_models_folder_that_goes_away_takes_nothing_with_it(server):
    away = server.models.rename(server.models.with_name("away"))
    until(lambda: "models folder cannot be read" in server.log, SOON)
    with Load(server.url, callers=2) as load:
        load.wait(20, 60)
    away.rename(server.models)
    assert not load.wrong, load
    assert not load.refused, load


def test_an_unload_frees_the_models_memory(server):
    """40 MB of weights: loaded, they are there; unloaded, they are gone."""
    before = resident(server.process.pid)
    heavy(server.models)
    until(lambda: server.get("/models/toy-heavy").status_code == 200, SOON * server.slowness)
    loaded = resident(server.process.pid)
    path = f"{server.url}/v2/repository/models/toy-heavy/unload"
    assert httpx.post(path, timeout=60).status_code == 200
    until(lambda: resident(server.process.pid) < before + 15 * 2**20, SOON)
    assert loaded > before + 35 * 2**20, "else nothing was to be freed"
    shutil.rmtree(server.models / "toy-heavy")


def heavy(models: Path) -> None:
    """A toy whose decoder carries 40 MB that it does not need."""
    folder = toys.identity(models.parent / "made", "toy-heavy")
    graph = onnx.load(folder / "decoder.onnx")
    ballast = np.random.default_rng(0).random(10_000_000, np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(ballast, "ballast"))
    graph.graph.node[0].input[1] = "added"
    # A place that follows from the input, or the runtime would compute it once and drop the rest.
    nodes = [
        onnx.helper.make_node("ReduceMin", ["latents"], ["least"], keepdims=0),
        onnx.helper.make_node("Mul", ["least", "zero"], ["none"]),
        onnx.helper.make_node("Cast", ["none"], ["place"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("Gather", ["ballast", "place"], ["weight"]),
        onnx.helper.make_node("Floor", ["weight"], ["nothing"]),
        onnx.helper.make_node("Add", ["add", "nothing"], ["added"]),
        *graph.graph.node,
    ]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, folder / "decoder.onnx")
    republish(folder)
    (models / "toy-heavy").mkdir()
    folder.rename(models / "toy-heavy" / "1")
    shutil.rmtree(models.parent / "made")
