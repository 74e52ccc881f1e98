"""One stage at a time in a workspace."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.catalog import Workspace

logger = logging.getLogger(__name__)


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Nothing else works in the workspace while the block runs: where an attempt lost its parent
    and still runs, its retry waits for it to end.
    """
    path = workspace.restricted.stage_lock
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            logger.info("another stage is running in this workspace; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
