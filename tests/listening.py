"""An application behind a real socket, in a thread of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.connections import Connection


@contextmanager
def listening(app) -> Iterator[str]:
    """The address of a server of `app` on a free port; it stops with the block."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, http=Connection, ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
