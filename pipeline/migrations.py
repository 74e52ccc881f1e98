"""From an older state to today's, by named steps, before a command reads it.

A step may meet what is so already: it is done again where it was cut off, and a state that a killed
command began has no number yet.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import environment
from pipeline.catalog import Home, project_root
from pipeline.catalog.version import VERSION, version_of, write_version
from pipeline.refusal import Refusal
from pipeline.runs import source_claims

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What makes the next version of a state. `does`: in words, for the log."""

    does: str
    run: Callable[[Home], None]


STEPS: Mapping[int, Step] = {  # from this version to the next
    1: Step("what lies in the home is its owner's alone; the state has a number", Home.set_modes),
    2: Step("the claims of sources lie in the registers", source_claims.take_over),
}


@contextmanager
def current_state() -> Iterator[None]:
    """The state of this home has today's form while the block runs; a state that the block begins
    gets its number. A home that may not be used is left to the commands that ask for it.
    """
    try:
        # a stage refuses a path that is not absolute, so it must not be settled here
        home = Home.at(Path(environment.absolute_home() or project_root()))
    except Refusal:
        yield
        return
    migrate(home)
    try:
        yield
    finally:
        _number_new(home)


def migrate(home: Home) -> list[str]:
    """Brings an older state to today's version; what was done, in words. Several processes may call
    it at once. Raises Refusal for a state that is not this account's.
    """
    if version_of(home.state) in (None, VERSION):
        return []
    steps = []
    try:
        with (home.state / "version.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            while (number := version_of(home.state)) is not None and number < VERSION:
                step = STEPS[number]
                step.run(home)
                write_version(home.state, number + 1)
                steps.append(step.does)
                logger.info("the state is of version %d now: %s", number + 1, step.does)
    except PermissionError:
        raise Refusal(
            "this state was written by an older Syndasera, and its owner alone may bring it to"
            " today's form: let the account that owns it run any command, say `python -m pipeline"
            " status`"
        ) from None
    return steps


def _number_new(home: Home) -> None:
    """Numbers the state that the command before this has begun."""
    if home.state.is_dir() and not home.version.is_file() and any(home.state.iterdir()):
        write_version(home.state)
