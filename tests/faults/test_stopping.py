"""Asked to stop, it answers what it has accepted, and then it ends, come what may."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import httpx
import pytest

from tests.faults.faulty import HANG, faulty
from tests.faults.load import Load
from tests.server import serving, until


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
def test_sigterm_under_load_loses_no_accepted_request(models, workers):
    with serving(models, workers=workers, lame_duck=2) as server:
        load = Load(server.url, callers=6, timeout=60)
        with load:
            load.wait(60, 60)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: not server.ready(), 1 + server.slowness)
            right = load.right
            assert server.process.poll() is None, "not ready, and it serves on"
            load.wait(10, 60)
            assert server.process.wait(60) == 0, server.log
        assert load.right > right
        assert not load.wrong, load
        assert not load.refused, load
        lost = [failure for failure in load.failed if "refused" not in failure]
        assert not lost, f"a connection that was accepted was not answered: {lost[:5]}"


def test_sigterm_twice_is_once(models):
    with serving(models, lame_duck=1) as server, Load(server.url, callers=3) as load:
        load.wait(20, 60)
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert server.process.wait(60) == 0, server.log
        load.stop()
        assert [f for f in load.failed if "refused" not in f] == []


def test_ctrl_c_waits_for_no_load_balancer(models):
    with serving(models, lame_duck=3600) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20 + 5 * server.slowness) in (0, 130, -signal.SIGINT)


def test_a_run_that_hangs_does_not_keep_it_from_ending(models):
    faulty(models, turns=10**9)
    with serving(models, request_timeout=2, lame_duck=0) as server:
        hang = threading.Thread(target=hang_one, args=(server.url,))
        hang.start()
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10 + 5 * server.slowness) == 0, server.log
        hang.join()


def test_a_worker_that_stands_still_does_not_keep_the_others_from_ending(models):
    with serving(models, workers=2) as server:
        os.kill(server.workers[0], signal.SIGSTOP)
        started = time.monotonic()
        assert server.stop(20 + 5 * server.slowness) == 0
        assert time.monotonic() - started < 10 + 5 * server.slowness


def hang_one(url: str) -> None:
    """Sends the image that makes the faulty model's run hang."""
    import io

    import numpy as np

    body = io.BytesIO()
    np.save(body, np.full((1, 12, 12, 1), HANG, np.uint8))
    headers = {"Content-Type": "application/x-npy"}
    with contextlib.suppress(httpx.TransportError):
        httpx.post(
            f"{url}/reconstruct?model=toy-faulty",
            content=body.getvalue(),
            headers=headers,
            timeout=90,
        )
