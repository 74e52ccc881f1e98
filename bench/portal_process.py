"""The public portal as a process of its own, for the benches that measure it. No script: see
`bench.portal_users` and `bench.portal_explore`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.catalog import Home
from portal.shared import accounts, sessions
from portal.shared.database import open_database
from portal.shared.tables import IDENTITY

ROOT = Path(__file__).resolve().parent.parent
SESSION_COOKIE = "syndasera_public"
START_SECONDS = 120


@contextmanager
def serve(home: Home) -> Iterator[str]:
    """Starts the public process on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {**os.environ, "SYNDASERA_HOME": str(home.root), "PORTAL_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "portal", "public"], cwd=ROOT, env=variables)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait(address: str) -> None:
    """Until the process answers. Raises TimeoutError where it does not."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError(f"the portal did not answer within {START_SECONDS} s")


def account_sessions(home: Home, n: int) -> list[str]:
    """Makes n researchers where they are missing, and signs each in; the cookies' values."""
    engine = open_database(home.portal_database, IDENTITY)
    cookies = []
    with engine.begin() as connection:
        for number in range(n):
            email = f"researcher{number}@example.org"
            account = accounts.by_email(connection, email) or accounts.create(
                connection,
                email=email,
                name=f"Researcher {number}",
                organisation="bench",
                role="researcher",
                password="for a bench alone",
            )
            cookies.append(sessions.begin(connection, account))
    engine.dispose()
    return cookies
