"""An application on a port of its own, as its process serves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from portal.__main__ import settings


@contextmanager
def serving(app: FastAPI, *, alone: bool = False) -> Iterator[str]:
    """The address, for as long as the block runs. alone: without the bridge and what else works
    beside the pages.
    """
    config = settings(app, port=0)
    if alone:
        config.lifespan = "off"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
