"""A start that cannot succeed says why in one line, and ends; one that can is not kept from it."""

from __future__ import annotations

import signal
import socket

import pytest

from tests import toys
from tests.server import Server, children, serving, until


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def workers(request) -> int:
    return request.param


def ends(server: Server) -> tuple[int, str]:
    """Its exit status and its log, when it has ended by itself."""
    try:
        status = server.process.wait(240)
        assert children(server.process.pid) == []
        return status, server.log
    finally:
        server.kill()


def test_without_models_it_ends_with_one_clear_line_and_no_traceback(tmp_path, workers):
    status, log = ends(Server(tmp_path, workers=workers))
    assert status != 0
    assert "no model to serve" in log
    assert "Traceback" not in log


def test_a_models_folder_that_is_a_file_is_said_so(tmp_path, workers):
    (tmp_path / "models").write_text("")
    status, log = ends(Server(tmp_path / "models", workers=workers))
    assert status != 0
    assert "cannot be read: Not a directory" in log
    assert "Traceback" not in log


def test_a_port_that_is_taken_ends_it(models, workers):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, log = ends(Server(models, workers=workers, port=taken.getsockname()[1]))
    assert status != 0
    assert "ddress already in use" in log
    assert "Traceback" not in log


def test_sigterm_during_the_start_ends_it_with_status_zero_and_leaves_nobody(models, workers):
    server = Server(models, workers=workers)
    needle = "Started parent" if workers > 1 else "Started server"
    try:
        until(lambda: needle in server.log, 240)
        before = children(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0, server.log
        assert not any(map(children, before))
    finally:
        server.kill()


def test_one_model_that_cannot_be_served_keeps_no_other_from_it(models):
    bad = toys.identity(models, "bad")
    (bad / "encoder.onnx").write_bytes(b"")
    with serving(models) as server:
        listed = server.get("/models").json()
        assert [model["name"] for model in listed["models"]] == ["toy-identity"]
        assert "has changed" in listed["refused"]["bad/1"]
        assert "\nautoencoder_refused_versions 1.0" in server.get("/metrics").text
