"""A worker that dies, stops or hangs is replaced, and nobody gets a wrong answer."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import httpx
import pytest

from tests import toys
from tests.faults.load import Load
from tests.server import serving, until


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A service of two workers, for faults that it gets over."""
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    toys.variational(models)
    with serving(models, workers=2) as server:
        yield server


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["kill -9", "SIGSTOP"])
def test_one_of_two_workers_is_lost_under_load_and_no_answer_is_wrong(pair, fault):
    with Load(pair.url, callers=6, timeout=60) as load:
        load.wait(50, 60)
        victim = pair.workers[0]
        os.kill(victim, fault)
        seconds = pair.wait_full(2, without={victim})
        load.wait(50, 60)
    assert not load.wrong, load
    assert not load.refused, load
    assert len(load.failed) <= 6, f"at most what was open to that worker: {load}"
    assert seconds < 5 * pair.slowness


def test_a_worker_that_stands_still_makes_whoever_answers_say_not_ready(pair):
    victim = pair.workers[0]
    os.kill(victim, signal.SIGSTOP)
    seconds = until(lambda: not pair.ready(), 30)
    answer = pair.get("/health/ready")
    assert seconds < 2 + 0.5 * pair.slowness
    assert answer.status_code == 503
    assert pair.get("/health/live").status_code == 200
    assert [s for s in answer.json()["workers"].values() if s != "ok"], answer.text
    pair.wait_full(2, without={victim})


def test_replaced_workers_are_counted(pair):
    text = pair.get("/metrics").text
    before = float(text.partition("\nautoencoder_worker_restarts ")[2].split()[0])
    victim = pair.workers[0]
    os.kill(victim, signal.SIGKILL)
    pair.wait_full(2, without={victim})
    after = pair.get("/metrics").text
    assert float(after.partition("\nautoencoder_worker_restarts ")[2].split()[0]) == before + 1


def test_a_load_and_an_unload_reach_every_worker_and_its_replacement(pair):
    def statuses() -> set[int]:  # a connection each, so that both workers are asked
        return {pair.get("/models/toy-vae").status_code for _ in range(12)}

    def ask(verb: str) -> int:
        path = f"{pair.url}/v2/repository/models/toy-vae/{verb}"
        return httpx.post(path, timeout=60).status_code

    assert statuses() == {200}
    assert ask("unload") == 200
    assert statuses() == {404}
    victim = pair.workers[0]
    os.kill(victim, signal.SIGKILL)
    pair.wait_full(2, without={victim})
    assert statuses() == {404}, "the new worker knows"
    assert ask("load") == 200
    assert statuses() == {200}


def test_workers_end_when_their_supervisor_is_killed(models):
    with serving(models, workers=2) as server:
        workers = server.workers
        os.kill(server.process.pid, signal.SIGKILL)
        try:
            until(lambda: not any(map(_alive, workers)), 10 + 5 * server.slowness)
        finally:
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            server.get("/health/live")


def test_a_replacement_that_cannot_start_leaves_the_other_serving(models):
    with serving(models, workers=2) as server, Load(server.url, callers=2, rate=20) as load:
        away = models.rename(models.with_name("away"))
        victim = server.workers[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: "cannot be read" in server.log.partition("ended: -9")[2], 60)
        time.sleep(2)
        assert server.process.poll() is None
        load.wait(20, 60)
        away.rename(models)
        server.wait_full(2, without={victim})
    assert not load.wrong, load
    assert not load.refused, load


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
