"""The commits of the released version store: one for each release, each on the one before, however
many are published at once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.refusal import Refusal
from pipeline.runs import version_stores

logger = logging.getLogger(__name__)
TRIES = 20  # each but the last loses to another release that was published
PUSHES = 3  # where the store was only busy
PAUSE_SECONDS = 1.0  # at most, before another try


def in_turn(attempt: Callable[[], None], head: Callable[[], str]) -> None:
    """Makes an attempt to publish, and another one from the start wherever it failed while another
    release moved the store on. `head`: the newest commit of the store.

    Raises what the last attempt raised.
    """
    for number in range(1, TRIES + 1):
        begin = head()
        try:
            attempt()
            return
        except (Refusal, RuntimeError):
            if number == TRIES or head() == begin:
                raise
        logger.info("publish: another release was published meanwhile; once more after it")
        time.sleep(random.uniform(0, PAUSE_SECONDS))


def push_release(tree: Path, *, message: str, tag: str, tag_message: str) -> None:
    """Commits all of a clone and pushes it to `main` with its tag, both or neither.

    Raises RuntimeError where the version store does not take it: it is broken, or went on.
    """
    version_stores.commit_all(tree, message, has_clock=False)
    version_stores.git("tag", "-a", tag, "-m", tag_message, cwd=tree, has_clock=False)
    for number in range(1, PUSHES + 1):
        try:
            version_stores.git("push", "-q", "--atomic", "origin", "main", tag, cwd=tree)
            return
        except RuntimeError:
            if version_stores.git("ls-remote", "origin", f"refs/tags/{tag}", cwd=tree):
                return  # it went through, and only the answer was lost
            if number == PUSHES:
                raise
        time.sleep(random.uniform(0, PAUSE_SECONDS))
