"""A run that hangs or fails is seen, told and survived; time may jump meanwhile."""

from __future__ import annotations

import io
import sys
import threading
import time

import httpx
import numpy as np
import pytest

from tests import toys
from tests.faults.faulty import FAIL, HANG, faulty
from tests.faults.growth import Sample, sample, slope
from tests.faults.load import Load
from tests.server import Server, descriptors, serving, threads, until


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A service with a model that can be told to hang or to fail, and one that cannot."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    faulty(models)
    with serving(models) as server:
        yield server


def send(server: Server, pixel: int, timeout: float = 300) -> httpx.Response:
    body = io.BytesIO()
    np.save(body, np.full((1, 12, 12, 1), pixel, np.uint8))
    headers = {"Content-Type": "application/x-npy", "X-Request-Timeout": "5"}
    url = f"{server.url}/reconstruct?model=toy-faulty&quality=false"
    return httpx.post(url, content=body.getvalue(), headers=headers, timeout=timeout)


def test_a_hung_run_makes_it_unready_within_two_seconds_and_its_end_ready_again(server):
    assert send(server, 7).status_code == 200
    hang = threading.Thread(target=send, args=(server, HANG))
    hang.start()
    seconds = until(lambda: not server.ready(), 60)
    answer = server.get("/health/ready").json()
    with Load(server.url, callers=2) as load:
        load.wait(10, 60)
    live = server.get("/health/live").status_code
    hang.join()
    until(server.ready, 300)
    assert seconds < 2 + server.slowness
    assert answer["models"]["toy-faulty/1"].startswith("late")
    assert answer["models"]["toy-identity/1"] == "ok"
    assert live == 200
    assert not load.wrong, load
    assert not load.refused, "the other model is not concerned"


def test_a_run_that_hangs_is_told_by_the_metrics_though_nobody_asks_for_readiness(tmp_path):
    faulty(tmp_path, hang_seconds=60)
    with serving(tmp_path) as server:
        assert send(server, 7).status_code == 200
        hang = threading.Thread(target=send, args=(server, HANG))
        hang.start()
        unready = 'autoencoder_model_ready{model="toy-faulty",version="1"} 0.0'
        seconds = until(lambda: unready in server.get("/metrics").text, 60)
        hang.join()  # it has waited as long as it would
    assert seconds < 25, "the next round is 30 s after the last time that somebody asked"


def test_a_run_that_fails_is_a_500_without_a_trace_and_harms_no_neighbour(server):
    with Load(server.url, callers=2) as load:
        for _ in range(5):
            answer = send(server, FAIL)
            assert answer.status_code == 500
            assert "onnx" not in answer.text.lower()
            assert "Traceback" not in answer.text
        load.wait(5, 60)
    assert send(server, 7).status_code == 200
    until(server.ready, 30)
    assert not load.wrong, load
    assert not load.refused, load


def test_callers_that_vanish_in_the_middle_leave_nothing_behind(server):
    with Load(server.url, callers=4, rate=40) as load:
        load.wait(30, 60)
    pid = server.process.pid
    time.sleep(1)
    before = descriptors(pid), threads(pid)
    with Load(server.url, callers=4, vanish=0.5) as load:
        until(lambda: load.vanished > 100, 60)
    until(lambda: descriptors(pid) <= before[0] and threads(pid) <= before[1] + 2, 30)
    assert not load.wrong, load
    assert not load.refused, load
    assert server.ready()


CLOCK = """
import time
start = time.monotonic()
real = time.time
def jumping():  # an hour forward, and back, five times a second
    return real() + 3600 * (int(5 * (time.monotonic() - start)) % 2)
time.time = jumping
from service.cli import main
main(["serve"])
"""


def test_a_clock_that_jumps_by_an_hour_changes_nothing(models):
    program = [sys.executable, "-c", CLOCK]
    with serving(models, program=program, request_timeout=20) as server:
        with Load(server.url, callers=3, rate=60) as load:
            load.wait(60, 120)
            assert server.ready()
        assert not load.wrong, load
        assert not load.refused, load
        assert not load.failed, load
        assert server.stop() == 0


def test_a_slope_of_memory_is_told_from_a_jump_and_from_noise():
    """The soak's own measure, with what it must and must not see."""
    rng = np.random.default_rng(0)

    def samples(memory) -> list[Sample]:
        return [Sample(5.0 * i, memory(i), 20, 9) for i in range(100)]

    assert slope(samples(lambda i: 2**26 + rng.integers(0, 2**16)), "memory") < 2**19
    assert slope(samples(lambda i: 2**26 + 2**22 * (i > 80)), "memory") < 2**19
    assert slope(samples(lambda i: 2**26 + 2000 * 5 * i), "memory") > 2**20, "2 kB a second"


LEAK = """
import service.middleware
observe, kept = service.middleware.Observe._observe, []
async def leaking(self, *request):
    kept.append(bytearray(50_000))
    await observe(self, *request)
service.middleware.Observe._observe = leaking
from service.cli import main
main(["serve"])
"""


@pytest.mark.parametrize("leaks", [False, True], ids=["as it is", "with a leak"])
def test_memory_does_not_grow_with_requests_and_a_leak_would_be_seen(models, leaks):
    program = {"program": [sys.executable, "-c", LEAK]} if leaks else {}
    with serving(models, **program) as server:
        with Load(server.url, callers=4, timeout=60) as load:
            load.wait(600, 120)
            before = sample(server, 0).memory
            load.wait(600, 120)
            grown = sample(server, 0).memory - before
        assert (grown > 20 * 2**20) is leaks, f"{grown / 2**20:.1f} MiB in 600 requests"
