"""One commit and tag of the released version store for a release, however many are published at
once.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from pipeline.runs.version_stores import commit_all, git

TRIES = 20  # each loses to another release that was published
PAUSE_SECONDS = 0.5  # at most, for each try so far


def push_release(tree: Path, folder: str, *, message: str, tag: str, tag_message: str) -> None:
    """Commits `folder` of a clone and pushes it to `main` with its tag, both or neither. Where
    `main` moved on meanwhile, the folder is committed again on the newer one.

    Raises RuntimeError where the version store takes it at no try.
    """
    commit_all(tree, message, has_clock=False)
    ours = git("rev-parse", "HEAD", cwd=tree)
    for number in range(1, TRIES + 1):
        git("tag", "-f", "-a", tag, "-m", tag_message, cwd=tree, has_clock=False)
        try:
            git("push", "-q", "--atomic", "origin", "main", tag, cwd=tree)
            return
        except RuntimeError:
            if number == TRIES:
                raise
        if git("ls-remote", "--tags", "origin", f"refs/tags/{tag}", cwd=tree):
            return  # it went through, and only the answer was lost
        time.sleep(random.uniform(0, PAUSE_SECONDS * number))
        _commit_again(tree, folder, ours, message)


def _commit_again(tree: Path, folder: str, commit: str, message: str) -> None:
    """The folder as it is in `commit`, on the newest `main`. What git ignores, the data, stays."""
    git("fetch", "-q", "origin", "main", cwd=tree)
    git("checkout", "-q", "--force", "-B", "main", "FETCH_HEAD", cwd=tree)
    git("rm", "-r", "-q", "--ignore-unmatch", "--", folder, cwd=tree)
    git("checkout", "-q", commit, "--", folder, cwd=tree)
    commit_all(tree, message, has_clock=False)
