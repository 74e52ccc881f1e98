"""Where a source lies: a path, the address of a database, or an upload; one spelling for each,
whichever door it comes in by.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs import addresses
from pipeline.runs.uploads import records
from pipeline.runs.uploads.address import address_of, id_of, is_upload


def resolved(source: str | Path) -> str:
    """The absolute path, or the address in its one spelling. Raises Refusal for an address that is
    none, or that holds a password.
    """
    if addresses.is_address(source):
        return addresses.parsed(str(source)).text
    if is_upload(source):
        return address_of(id_of(str(source)))
    return str(Path(source).resolve())


def is_there(source: str | Path) -> bool:
    """Whether something lies there. Raises Refusal for a database that does not answer, and for an
    upload that no stage may read: in quarantine, refused or deleted.
    """
    if is_upload(source):
        records.readable(Home.find(), id_of(str(source)))
        return True
    if not addresses.is_address(source):
        return Path(source).exists()
    with addresses.session(addresses.parsed(str(source))):
        return True


def refuse_missing(source: str | Path, whose: str) -> None:
    """Raises Refusal where nothing lies at the source of `whose`."""
    if not is_there(source):
        raise Refusal(f"source of {whose}: there is nothing at {source}")
