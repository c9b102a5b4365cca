"""The log goes where nobody takes it: the service goes on, and counts what it could not write."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator

import pytest

from tests.faults.load import Load
from tests.faults.test_overload import metric
from tests.server import serving, until

DROPPED = "autoencoder_log_lines_dropped_total"
LONG = f"/{'x' * 8000}"  # 404, and a line as long


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is full."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"." * 4096):
            pass
    fcntl.fcntl(writer, fcntl.F_SETFL, 0)  # whoever inherits it waits in its writes
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_pipe_that_nobody_reads_stops_nothing_and_is_counted(models, pipe, workers):
    reader, writer = pipe
    with serving(models, workers=workers, stdout=writer, stderr=writer) as server:
        with Load(server.url, callers=2) as load:
            load.wait(50, 60)
        assert not load.failed, load
        assert not load.refused, load
        assert metric(server, DROPPED) == 0, "as long as there is room, lines wait"
        for _ in range(160 * workers):
            assert server.get(LONG).status_code == 404
        until(lambda: metric(server, DROPPED) > 0, 20)
        assert server.ready()

        read = bytearray()
        threading.Thread(target=lambda: drain(reader, read), daemon=True).start()
        until(lambda: b"404" in read, 20)  # somebody reads again

        def told() -> bool:
            server.get("/nowhere")  # any line will do
            return b"log lines were dropped here: stderr took no more\n" in read

        until(told, 20)
        assert read.count(LONG.encode()) < 160 * workers
        assert server.stop() == 0


def test_a_log_pipe_that_nobody_reads_keeps_no_process_from_ending(models, pipe):
    _, writer = pipe
    with serving(models, stdout=writer, stderr=writer, lame_duck=0) as server:
        assert server.stop() == 0


def test_a_full_disk_for_the_logs_does_not_keep_it_from_serving(models):
    with open("/dev/full", "w") as full, serving(models, stdout=full, stderr=full) as server:  # noqa: PTH123
        with Load(server.url, callers=2) as load:
            load.wait(50, 60)
        assert not load.failed, load
        assert not load.refused, load
        assert metric(server, DROPPED) >= 50
        assert server.stop() == 0


def drain(reader: int, into: bytearray) -> None:
    """Takes all that comes, until the pipe is closed."""
    while data := os.read(reader, 2**16):
        into += data
