"""Asked to stop, it answers what it has accepted, and then it ends, come what may."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time

import httpx
import numpy as np
import pytest

from service import images
from tests import toy_graphs, toys
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


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
@pytest.mark.parametrize("grace", [120, 1], ids=["in time", "too late"])
def test_sigterm_amid_large_pictures_answers_them_or_says_that_it_cannot(models, grace, workers):
    """One caller waits, and one is told how far it is."""
    work = toy_graphs.turns(0.125 if grace > 1 else 0.4, side=128)  # of each tile
    toys.identity(models, "toy-slow", size=None, add=50, work=work)
    picture = np.random.default_rng(0).integers(0, 200, (400, 400, 1), np.uint8)
    settings = {"request_timeout": grace, "megapixel_timeout": 9999, "tile_pixels": 2**14}
    with serving(models, workers=workers, lame_duck=0, **settings) as server:
        callers = [LargePicture(server.url, picture, told=told) for told in (False, True)]
        for caller in callers:
            caller.start()
        callers[1].wait_for_tiles(60)
        assert callers[0].status is None, "it is under way"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60 + 10 * server.slowness) == 0, server.log
        log = server.log
        for caller in callers:
            caller.join(10)
    waited, told = callers
    if grace > 1:
        assert (waited.status, told.status) == (200, 200)
        for caller in callers:
            np.testing.assert_array_equal(images.decode(caller.body), picture + 50)
    else:
        assert (waited.status, told.status) == (503, 200)
        assert waited.headers["Retry-After"] == "1"
        for caller in callers:
            assert json.loads(caller.body)["status"] == 503
            assert json.loads(caller.body)["reason"] == "stopping"
    assert "Traceback" not in log


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
    faulty(models, hang_seconds=1000)
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


class LargePicture(threading.Thread):
    """A caller that sends one picture, and reads its answer to the end."""

    def __init__(self, url: str, picture: np.ndarray, *, told: bool) -> None:
        super().__init__(daemon=True)
        self._url, self._picture, self._told = url, picture, told
        self._tiles = threading.Event()
        self.status: int | None = None
        self.headers: httpx.Headers = httpx.Headers()
        self.body = b""

    def run(self) -> None:
        with httpx.stream(
            "POST",
            f"{self._url}/denoise?model=toy-slow",
            content=images.encode_png(self._picture),
            headers={"Content-Type": "image/png"}
            | ({"Accept": "multipart/mixed"} if self._told else {}),
            timeout=120,
        ) as answer:
            whole = b""
            for part in answer.iter_raw():
                whole += part
                if re.search(rb'"done": ([2-9]|\d\d)', whole):  # not every tile is told of
                    self._tiles.set()
            if self._told:  # the last part
                boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
                assert whole.endswith(b"\r\n--" + boundary + b"--\r\n"), whole[-200:]
                last = whole.split(b"--" + boundary)[-2]
                whole = last.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            self.body, self.headers, self.status = whole, answer.headers, answer.status_code

    def wait_for_tiles(self, seconds: float) -> None:
        """Until two tiles are done."""
        assert self._tiles.wait(seconds), "no tile was done"


def hang_one(url: str) -> None:
    """Sends the image that makes the faulty model's run hang."""
    import io

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
