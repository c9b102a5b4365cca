"""The console script as a process of its own: it starts, answers over a socket, and stops well."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.server import AUTOENCODER, Server, free_port, serving
from tests.service.test_errors import GOOD, PNG


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def server(request, toy_models) -> Iterator[Server]:
    flags = ["--log-format", "json", "--request-timeout", "2", "--workers", str(request.param)]
    with serving(toy_models, program=[*AUTOENCODER, "serve", *flags]) as server:
        yield server


def test_it_serves_over_a_socket_logs_each_request_and_stops_with_status_zero(server):
    with httpx.Client(base_url=server.url) as client:
        answer = client.post("/denoise", content=GOOD, headers=PNG)
        assert answer.status_code == 200
        request_id = answer.headers["X-Request-ID"]
        health = subprocess.run(
            [*AUTOENCODER, "health", "--url", server.url],
            capture_output=True,
            text=True,
            check=False,
        )
        assert health.returncode == 0, health.stderr
        assert "toy-vae/1" in health.stdout
    assert server.stop(30) == 0, server.log
    lines = [line for line in server.log.splitlines() if request_id in line]
    assert len(lines) == 1, "one line a request"
    assert lines[0].startswith("{"), "JSON lines were asked for"


@pytest.mark.parametrize("path", ["/models", "/health/live", "/", "/nothing"])
def test_head_is_get_without_its_body(server, path):
    with httpx.Client(base_url=server.url) as client:
        whole, head = client.get(path), client.head(path)
        assert head.content == b""
        own = {"x-request-id", "server-timing", "date"}
        if path == "/nothing":  # its body names the request
            own.add("content-length")
        assert head.status_code == whole.status_code
        assert {k: v for k, v in head.headers.items() if k not in own} == {
            k: v for k, v in whole.headers.items() if k not in own
        }
        assert client.get("/health/live").status_code == 200, "the connection goes on"
        assert 'method="HEAD"' in client.get("/metrics").text


def test_who_asks_for_another_protocol_is_answered_in_this_one_and_the_log_is_still(server):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health/live", headers=headers).status_code == 200
    assert server.stop(30) == 0
    assert "WebSocket" not in server.log
    assert "upgrade" not in server.log


def test_a_caller_that_never_ends_its_body_does_not_keep_it_from_stopping(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = "POST /denoise HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nabc".encode())
        time.sleep(0.2)
        assert server.stop(20) == 0, server.log


def test_health_of_a_service_that_is_not_there_fails_and_says_so():
    health = subprocess.run(
        [*AUTOENCODER, "health", "--url", f"http://127.0.0.1:{free_port()}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert health.returncode == 1
    assert "no answer" in health.stderr


def test_a_start_without_models_fails_and_says_what_is_missing(tmp_path):
    start = subprocess.run(
        [*AUTOENCODER, "serve", "--models-dir", str(tmp_path), "--port", str(free_port())],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert start.returncode != 0
    assert "NAME/VERSION/model.json" in start.stderr
