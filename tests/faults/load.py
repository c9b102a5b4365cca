"""Callers that check every pixel of every answer."""

from __future__ import annotations

import http.client
import io
import random
import socket
import struct
import threading
import time
from collections import Counter
from typing import Any

import numpy as np

_FAILED = (OSError, http.client.HTTPException)  # at the connection: no answer, so no wrong one


def _crash(connection: http.client.HTTPConnection) -> None:
    """Ends a connection as a caller that crashes does: by a reset, with an answer on its way."""
    assert connection.sock is not None
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Load:
    """Callers with a connection each, which send random images to a toy identity until stopped.

    Each answer's image must be the request's own, brighter by `adds[version]` for the version
    that the answer names: another caller's answer, or one made by two versions, is `wrong`.
    With `rate`, all callers together send so many requests a second at most.
    """

    def __init__(
        self,
        url: str,
        *,
        callers: int = 4,
        rate: float | None = None,
        images: int = 1,
        size: int = 12,
        adds: dict[int, int] | None = None,
        path: str = "/reconstruct?model=toy-identity&quality=false",
        vanish: float = 0.0,
        timeout: float = 30.0,
    ) -> None:
        self._address = url.removeprefix("http://")
        self._pause = callers / rate if rate else 0.0
        self._shape = (images, size, size, 1)
        self._adds = adds or {1: 0}
        self._path = path
        self._vanish = vanish
        self._timeout = timeout
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.right = 0
        self.vanished = 0
        self.wrong: list[str] = []
        self.failed: list[str] = []
        self.refused: Counter[int] = Counter()
        self.reasons: list[str] = []
        self.versions: Counter[int] = Counter()
        self.seconds: list[float] = []
        self._threads = [
            threading.Thread(target=self._call, args=(seed,), daemon=True)
            for seed in range(callers)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Returns when every caller has its last answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout + 5)
            assert not thread.is_alive(), "a caller waits for an answer that never comes"

    @property
    def answered(self) -> int:
        """All answers, right, wrong or refused."""
        return self.right + len(self.wrong) + self.refused.total()

    def wait(self, more: int, seconds: float = 20) -> None:
        """Until so many more right answers came."""
        goal, deadline = self.right + more, time.monotonic() + seconds
        while self.right < goal:
            assert time.monotonic() < deadline, f"{self.right} of {goal}: {self}"
            time.sleep(0.01)

    def __str__(self) -> str:
        return (
            f"{self.right} right, {len(self.wrong)} wrong {self.wrong[:2]}, {len(self.failed)} "
            f"failed {self.failed[:3]}, refused {dict(self.refused)} {self.reasons[:2]}, "
            f"{self.vanished} vanished"
        )

    def _call(self, seed: int) -> None:
        rng, dice = np.random.default_rng(seed), random.Random(seed)
        connection = self._connect()
        while not self._stop.is_set():
            started = time.monotonic()
            sent = rng.integers(0, 200, self._shape, np.uint8)
            body = io.BytesIO()
            np.save(body, sent)
            try:
                connection.request(
                    "POST", self._path, body.getvalue(), {"Content-Type": "application/x-npy"}
                )
                if dice.random() < self._vanish:  # in the middle of the request's work
                    _crash(connection)
                    with self._lock:
                        self.vanished += 1
                    continue
                answer = connection.getresponse()
                content = answer.read()
            except _FAILED as error:
                with self._lock:
                    self.failed.append(f"{type(error).__name__}: {error}"[:80])
                connection.close()
                connection = self._connect()
                self._stop.wait(0.02)
                continue
            self._judge(answer, content, sent, time.monotonic() - started)
            if self._pause:
                self._stop.wait(max(0.0, self._pause - (time.monotonic() - started)))
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=self._timeout)

    def _judge(
        self, answer: http.client.HTTPResponse, content: bytes, sent: np.ndarray, seconds: float
    ) -> None:
        with self._lock:
            self.seconds.append(seconds)
            if answer.status != 200:
                self.refused[answer.status] += 1
                self.reasons.append(content[:200].decode(errors="replace"))
                return
            version = int(answer.headers["Model-Version"])
            got = np.load(io.BytesIO(content))
            if np.array_equal(got, sent + np.uint8(self._adds.get(version, 255))):
                self.right += 1
                self.versions[version] += 1
            else:
                self.wrong.append(f"version {version}: {got.ravel()[:3]} for {sent.ravel()[:3]}")
