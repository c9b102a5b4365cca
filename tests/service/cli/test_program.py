"""`autoencoder` as a program: its flags, its exit status, and how it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service import images
from tests.service.cli.pictures import GREYS


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_a_timeout_is_a_time(run, seconds):
    status, _, err = run("models", "--timeout", seconds)
    assert status == 2
    assert "--timeout" in err


def test_what_cannot_be_meant_is_refused_before_anything_is_done(run, server):
    app = server[1]
    app.all = 0
    Path("empty").mkdir()
    Path("other").mkdir()
    Path("other/0.png").write_bytes(images.encode_png(GREYS[0]))
    Path("l.json").write_text("[]")
    for arguments, says in {
        ("denoise", "noisy", "--out", "a.png"): "folder",
        ("denoise", "noisy/0.png", "--out", "a.bmp"): "a.bmp is not written: give --out a folder",
        ("denoise", "noisy", "--out", "clean", "--scores", "s.csv"): "--references",
        ("denoise", "empty", "--out", "clean"): "no picture lies in empty",
        ("denoise", "noisy", "other", "--out", "clean"): "both become",
        ("denoise", "noisy", "--out", "c", "--references", "noisy", "--simulate", "gaussian:1"): "clean",
        ("encode", "noisy", "--out", "l.txt"): ".npy",
        ("sample", "--out", "grid.tga"): ".gif",
        ("decode", "l.json", "--out", "d"): "not what `autoencoder encode` writes",
    }.items():  # fmt: skip
        status, _, err = run(*arguments)
        assert status == 1
        assert says in err
    assert app.all == 0


def test_a_fault_of_all_files_ends_the_run_with_one_line(run, monkeypatch):
    status, _, err = run("denoise", "noisy", "--out", "clean", "--model", "toy-identit")
    assert status == 1
    assert "did you mean toy-identity" in err
    assert len(err.splitlines()) == 1
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{sock.getsockname()[1]}"
    status, _, err = run("denoise", "noisy", "--out", "clean", "--url", nobody)
    assert status == 1
    assert nobody in err
    assert len(err.splitlines()) == 1


def test_help_lists_every_command_and_a_wrong_flag_is_status_two(run):
    _, out, _ = run("--help")
    for command in ("serve", "health", "denoise", "reconstruct", "encode", "decode"):
        assert f"\n    {command}" in out
    for command in ("interpolate", "sample", "classify", "models"):
        assert f"\n    {command}" in out
        assert "AUTOENCODER_URL" in run(command, "--help")[1]
    assert "AUTOENCODER_PORT" in run("serve", "--help")[1]
    assert run("denoise", "noisy")[0] == 2


def test_a_command_whose_libraries_are_not_there_says_what_to_install():
    code = "import sys; sys.modules['{}'] = None; from service.cli import main; main(['{}'])"
    for missing, command, extra in [
        ("httpx", "models", "client"),
        ("rich", "models", "client"),
        ("onnxruntime", "serve", "cpu"),
    ]:
        outcome = subprocess.run(
            [sys.executable, "-c", code.format(missing, command)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert outcome.returncode == 1
        assert f"pip install '.[{extra}]' in the project's checkout" in outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_a_reader_that_has_seen_enough_ends_it_quietly(server):
    command = f"{sys.executable} -m service.client models --json --url {server[0]} | true"
    for _ in range(3):
        ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert ended.stderr == ""
