"""Where a source lies: a path, or the address of a database; one spelling for each, whichever door
it comes in by.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.refusal import Refusal
from pipeline.runs import addresses


def resolved(source: str | Path) -> str:
    """The absolute path, or the address in its one spelling. Raises Refusal for an address that is
    none, or that holds a password.
    """
    if addresses.is_address(source):
        return addresses.parsed(str(source)).text
    return str(Path(source).resolve())


def is_there(source: str | Path) -> bool:
    """Whether something lies there. Raises Refusal for a database that does not answer."""
    if not addresses.is_address(source):
        return Path(source).exists()
    with addresses.session(addresses.parsed(str(source))):
        return True


def refuse_missing(source: str | Path, whose: str) -> None:
    """Raises Refusal where nothing lies at the source of `whose`."""
    if not is_there(source):
        raise Refusal(f"source of {whose}: there is nothing at {source}")
