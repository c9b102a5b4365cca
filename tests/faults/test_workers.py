"""A worker that dies, stops or hangs is replaced, and nobody gets a wrong answer."""

from __future__ import annotations

import os
import signal

from tests.faults.load import Load
from tests.faults.server import serving


def test_kill_9_of_one_of_two_workers_under_load_costs_connections_and_no_wrong_answer(models):
    with serving(models, workers=2) as server, Load(server.url, callers=6) as load:
        load.wait(100)
        victim = server.workers[0]
        os.kill(victim, signal.SIGKILL)
        seconds = server.wait_full(2, without={victim})
        load.wait(100)
        load.stop()
        assert seconds < 4 + server.start_seconds, "5 s where a start takes one"
        assert not load.wrong, load
        assert not load.refused, load
        assert len(load.failed) <= 6, "at most what was open to that worker"
