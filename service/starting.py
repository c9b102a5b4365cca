"""Starts the server: in this process, or as several workers under a supervisor."""

from __future__ import annotations

import math
import os
import resource
import sys
import tempfile
from pathlib import Path

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service import metrics
from service.app import loaded_app
from service.board import Board
from service.log import configuration
from service.server import Server
from service.settings import Settings
from service.supervisor import Supervisor


def start(settings: Settings) -> None:
    """Serves until it is asked to stop.

    Raises:
        AutoencoderError: a bad set-up.
        SystemExit: the port is taken, or no worker could start.
    """
    _allow_connections()
    board = Board(settings.workers)
    config = uvicorn.Config(
        lambda: loaded_app(settings, board, 0),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http="service.connections:Connection",
        ws="none",  # there are no web sockets here
        server_header=False,  # whoever asks need not know what serves
        access_log=False,  # service.middleware logs each request once, with its id
        log_config=configuration(settings.log_format, settings.log_level),
        # What is under way is answered by then; a caller that never ends its body must not keep
        # a process that was asked to stop.
        timeout_graceful_shutdown=math.ceil(settings.request_timeout),
    )
    if settings.workers == 1:
        Server(config, board, 0, settings.lame_duck).run()
        return
    supervisor = Supervisor(config, [config.bind_socket()], settings, board)
    memory = Path("/dev/shm")  # nothing is written to a disk while serving
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="autoencoder-metrics-", dir=where) as folder:
        os.environ[metrics.FOLDER] = folder
        supervisor.run()
    if supervisor.failed:
        sys.exit(STARTUP_FAILURE)


def _allow_connections() -> None:
    """Lifts the soft limit on open files, often 1024, as far as the hard one allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
