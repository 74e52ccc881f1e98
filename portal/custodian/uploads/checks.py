"""What a pipeline process does for this one: only there an upload is decrypted."""

from __future__ import annotations

import logging
import subprocess
import sys
from threading import Thread

from pipeline import environment
from pipeline.catalog import Home, project_root
from pipeline.runs.uploads.address import check_id

logger = logging.getLogger(__name__)


def start(home: Home, upload_id: str) -> Thread:
    """Checks the structure of an upload that has arrived, beside this process. What is found is
    noted with the upload.
    """
    thread = Thread(target=run, args=(home, "check", check_id(upload_id)), daemon=True)
    thread.start()
    return thread


def run(home: Home, *words: str) -> int:
    """`python -m pipeline uploads ...`; its exit code. What it says stays unread: the findings are
    with the upload, and its own log holds no value.
    """
    process = subprocess.run(
        [sys.executable, "-m", "pipeline", "uploads", *words],
        cwd=project_root(),
        env=environment.for_home_commands(home.root),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    if process.returncode not in (0, 2):
        logger.error("uploads %s ended with exit code %d", words[0], process.returncode)
    return process.returncode
