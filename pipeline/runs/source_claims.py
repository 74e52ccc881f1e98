"""Which population the rows at a path belong to: one path, one population (privacy_rules.md 4 and
16).

The same rows under a second population would be charged to another budget, and approved by another
rule. The register remembers paths, databases and uploads, not rows: whoever copies the rows
elsewhere gets round it (docs/privacy.md, *Not covered*). A database belongs to one population as a
whole.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import files
from pipeline.catalog import TRUTH, Home
from pipeline.refusal import Refusal
from pipeline.runs import addresses
from pipeline.runs.uploads.address import is_upload


def claim(home: Home, source: str | Path, *, population: str, kind: str) -> None:
    """Registers the source of a population; the same again changes nothing.

    Raises Refusal where the path is equal to, inside or above one of another population, where
    the database is that of another population, whatever address it is called by, or where invented
    patients are claimed of what the simulator did not write.
    """
    if addresses.is_address(source):
        _claim_database(home, str(source), {"population": population, "kind": kind})
        return
    if is_upload(source):
        _claim_upload(home, str(source), {"population": population, "kind": kind})
        return
    path = Path(source).resolve()
    _refuse_unsimulated(path, population, kind)
    with _locked(home):
        claims: dict[str, dict[str, str]] = files.read_json(home.source_paths, {})
        owner = {"population": population, "kind": kind}
        for place in _places(path):
            _refuse_foreign(place, claims, owner)
        if claims.get(str(path)) != owner:
            files.write_json(home.source_paths, {**claims, str(path): owner})


def _claim_upload(home: Home, address: str, owner: dict[str, str]) -> None:
    """An upload has one name for ever, so its claim is its own and no other's."""
    if owner["kind"] == "simulated":
        raise Refusal(
            f"the population {owner['population']} is declared simulated, and the simulator hands"
            " nothing over: an upload is the source of another one"
        )
    with _locked(home):
        claims: dict[str, dict[str, str]] = files.read_json(home.source_paths, {})
        theirs = claims.get(address, owner)
        if theirs != owner:
            raise _foreign(address, owner, address, theirs)
        if address not in claims:
            files.write_json(home.source_paths, {**claims, address: owner})


def _claim_database(home: Home, address: str, owner: dict[str, str]) -> None:
    where = addresses.parsed(address)
    if owner["kind"] == "simulated":
        raise Refusal(
            f"the population {owner['population']} is declared simulated, and the simulator wrote"
            f" no database: {where.text} is the source of another one"
        )
    names = addresses.identities(where)
    with _locked(home):
        claims: dict[str, dict[str, str]] = files.read_json(home.source_paths, {})
        for name in names:
            theirs = claims.get(name, owner)
            if theirs != owner:
                raise _foreign(where.text, owner, where.text, theirs)
        if any(name not in claims for name in names):
            files.write_json(home.source_paths, {**claims, **dict.fromkeys(names, owner)})


def _places(path: Path) -> list[Path]:
    """The path, and where the links in it lead: a folder of links is the folder they lead to."""
    inside = path.iterdir() if path.is_dir() else ()
    return [path, *(entry.resolve() for entry in inside if entry.is_symlink())]


def _refuse_foreign(path: Path, claims: dict[str, dict[str, str]], owner: dict[str, str]) -> None:
    for text, theirs in claims.items():
        claim = Path(text)  # of a database none that a path lies in or above
        if theirs != owner and (path.is_relative_to(claim) or claim.is_relative_to(path)):
            raise _foreign(str(path), owner, str(claim), theirs)


def _foreign(source: str, owner: dict[str, str], claim: str, theirs: dict[str, str]) -> Refusal:
    return Refusal(
        f"the source {source} is for the {owner['kind']} population {owner['population']},"
        f" but {claim} is registered as the source of the {theirs['kind']} population"
        f" {theirs['population']}: rows belong to one population and are charged there; use"
        " that population's dataset, or name the right folder"
    )


def _refuse_unsimulated(path: Path, population: str, kind: str) -> None:
    folder = path if path.is_dir() else path.parent
    if kind == "simulated" and not (folder / TRUTH).is_file():
        raise Refusal(
            f"the population {population} is declared simulated, but the source {path} has no"
            f" {TRUTH} beside its tables, so the simulator did not write it; make it with `python"
            " -m pipeline simulate`, or use a dataset of a confidential population"
        )


@contextmanager
def _locked(home: Home) -> Iterator[None]:
    files.private_folder(home.source_paths.parent)
    with home.source_paths.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
