"""deploy/ray.yaml, run as it says: replicas grow with the queue, and one that is killed harms none.

Needs the extra `cluster`, which the other tests do without: `pytest -m cluster`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from service import npy
from tests import toys
from tests.deploy.scripts import ROOT, SCRIPTS

pytestmark = pytest.mark.cluster

pytest.importorskip("ray", reason="Ray is not installed: pip install '.[cluster]'")

CALLERS = 24
NPY = {"Content-Type": npy.MEDIA_TYPE}


class Load:
    """Callers that each send pictures of their own, one after the other, and look at each pixel."""

    def __init__(self, url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = url
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def _call(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                picture = rng.integers(0, 256, (2, 12, 12, 1), np.uint8)
                outcome = self._outcome(client, picture)
                with self._lock:
                    self.outcomes[outcome] += 1

    def _outcome(self, client: httpx.Client, picture: np.ndarray) -> str:
        try:
            answer = client.post("/denoise", content=npy.write(picture), headers=NPY)
        except httpx.TransportError:
            return "broken"
        if answer.status_code != 200:
            ours = answer.headers["content-type"].startswith("application/problem+json")
            return f"{answer.status_code}{'' if ours else ' of the proxy'}"
        # The toy gives back what it gets: another caller's picture would be seen.
        return "right" if np.array_equal(npy.read(answer.content), picture) else "wrong"

    @contextmanager
    def running(self) -> Iterator[Load]:
        callers = [threading.Thread(target=self._call, args=(i,)) for i in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield self
        finally:
            self._stop.set()
            for caller in callers:
                caller.join()


@pytest.fixture(params=["0", "1"], ids=["proxy of Ray", "HAProxy"])
def cluster(tmp_path, request) -> Iterator[tuple[str, int]]:
    """The committed configuration on this machine, with a toy that can be checked, and in haste."""
    toys.identity(tmp_path / "models")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = yaml.safe_load((ROOT / "deploy/ray.yaml").read_text())
    configuration["http_options"]["port"] = port
    (application,) = configuration["applications"]
    application["args"] = {"models_dir": str(tmp_path / "models")}
    (deployment,) = application["deployments"]
    deployment["autoscaling_config"] |= {
        "max_replicas": 2, "target_ongoing_requests": 4, "upscale_delay_s": 1,
    }  # fmt: skip
    deployment["ray_actor_options"]["num_cpus"] = 0.5
    deployment["health_check_period_s"] = 2
    (tmp_path / "ray.yaml").write_text(yaml.safe_dump(configuration))
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    environment["RAY_SERVE_ENABLE_HA_PROXY"] = request.param
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, SCRIPTS / "serve", "run", "--app-dir", ROOT, tmp_path / "ray.yaml"],
            cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: ready(url), 120, lambda: (tmp_path / "log").read_text()[-2000:])
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def until(holds, seconds: float, said=lambda: "") -> float:
    """Waits until it holds, and gives the seconds that it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, said()
        time.sleep(0.2)
    return time.monotonic() - started


def replicas(cluster: int) -> set[int]:
    """The processes of the replicas that descend from that one."""
    parents, titles = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            titles[int(process.name)] = (process / "cmdline").read_bytes()
            after_name = (process / "stat").read_text().rpartition(")")[2]
        except OSError:  # it has just ended
            continue
        parents[int(process.name)] = int(after_name.split()[1])

    def descends(process: int) -> bool:
        while process not in (0, cluster):
            process = parents.get(process, 0)
        return process == cluster

    named = {p for p, title in titles.items() if title.startswith(b"ray::ServeReplica:autoencoder")}
    return set(filter(descends, named))


def test_replicas_grow_with_the_queue_and_a_killed_one_gives_no_wrong_answer(cluster):
    url, serving = cluster
    before = replicas(serving)
    assert len(before) == 1
    with Load(url).running() as load:
        grown = until(lambda: len(replicas(serving)) == 2, 60)
        until(lambda: load.outcomes["right"] > 500, 60)
        until_killed = load.outcomes.copy()
        os.kill(min(before), signal.SIGKILL)
        replaced = until(lambda: len(replicas(serving) - before) == 2, 60)
        after = load.outcomes["right"]
        until(lambda: load.outcomes["right"] > after + 500, 60)
    print(f"2 replicas after {grown:.1f} s, again 2 {replaced:.1f} s after the kill")
    print(f"before the kill {dict(until_killed)}, in all {dict(load.outcomes)}")
    assert until_killed.keys() == {"right"}
    assert load.outcomes["wrong"] == 0
    # What was under way in the replica that died is lost, and its caller is told so: Ray's own
    # proxy says 500, HAProxy 502 or 503. The service itself has no fault.
    lost = {f"{status} of the proxy" for status in (500, 502, 503)}
    assert load.outcomes.keys() <= {"right", "broken", "503", *lost}
    assert load.outcomes["right"] > 0.95 * load.outcomes.total()
