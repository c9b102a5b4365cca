"""Keys that are swapped while callers use them; nobody is let in or locked out by it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter

import httpx

from tests.faults.wire import npy
from tests.server import serving, until


def entry(key: str) -> str:
    return f'[{key}]\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n'


def status(url: str, key: str) -> int:
    return httpx.post(
        f"{url}/reconstruct?model=toy-identity",
        content=npy(),
        headers={"Content-Type": "application/x-npy", "X-API-Key": key},
        timeout=20,
    ).status_code


def test_keys_are_swapped_under_load_in_every_worker_and_who_keeps_his_notices_nothing(
    models, tmp_path
):
    path = tmp_path / "keys.toml"
    path.write_text(entry("kept") + entry("old"))
    with serving(models, workers=2, keys_file=path) as server:
        statuses: Counter[int] = Counter()
        stop = threading.Event()

        def kept() -> None:
            while not stop.is_set():
                statuses[status(server.url, "kept")] += 1

        callers = [threading.Thread(target=kept) for _ in range(3)]
        for caller in callers:
            caller.start()
        try:
            assert (status(server.url, "old"), status(server.url, "new")) == (200, 401)
            fresh = tmp_path / "keys.new"
            fresh.write_text(entry("kept") + entry("new"))
            fresh.replace(path)
            until(lambda: all(status(server.url, "new") == 200 for _ in range(8)), 10)
            until(lambda: all(status(server.url, "old") == 401 for _ in range(8)), 10)
            path.write_text("half of a fi")
            time.sleep(1.2)
            assert status(server.url, "new") == 200
        finally:
            stop.set()
            for caller in callers:
                caller.join(30)
        assert statuses.keys() == {200}, statuses
