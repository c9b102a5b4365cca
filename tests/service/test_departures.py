"""Callers that leave before their answer: what they asked for is dropped, and nothing is wrong."""

from __future__ import annotations

import socket
import threading
import time

import httpx
import numpy as np
import pytest

from service import npy
from service.app import create_app
from tests.listening import listening
from tests.service.test_sample_models_health import metric

HEAD = (
    "POST /reconstruct HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-npy\r\n"
    "Content-Length: {}\r\n\r\n"
)
LEFT = 'autoencoder_requests_total{method="POST",route="/reconstruct",status="499"}'


def begin(url: str, body: bytes, *, claimed: int | None = None) -> socket.socket:
    """A connection with a request on it, perhaps not all of it."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(HEAD.format(claimed or len(body)).encode() + body)
    return connection


def eventually(url: str, name: str, value: float) -> None:
    for _ in range(200):
        text = httpx.get(f"{url}/metrics").text
        if name in text and metric(text, name) == value:
            return
        time.sleep(0.02)
    pytest.fail(f"{name} never was {value}:\n{text}")


def test_what_a_departed_caller_has_in_the_queue_is_dropped(settings, monkeypatch):
    app = create_app(settings(max_batch=1))
    gate, ran = threading.Event(), []
    with listening(app) as url:
        batcher = app.state.catalog.get("toy-identity")._queues["reconstruct"]
        function = batcher._function

        def held(batch):
            ran.append(len(batch))
            assert gate.wait(10)
            return function(batch)

        monkeypatch.setattr(batcher, "_function", held)
        connection = begin(url, npy.write(np.zeros((50, 12, 12, 1), np.uint8)))
        waiting = 'autoencoder_waiting_images{model="toy-identity",version="1"}'
        eventually(url, waiting, 49)
        connection.close()
        eventually(url, waiting, 0)
        gate.set()
        eventually(url, LEFT, 1)
    assert len(ran) == 1


def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_fault_of_ours(settings, caplog):
    with listening(create_app(settings())) as url:
        begin(url, b"abc", claimed=1000).close()
        eventually(url, LEFT, 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
