"""Which population the rows at a path belong to: one path, one population (privacy_rules.md 4 and
16).

The same rows under a second population would be charged to another budget, and approved by another
rule. The register remembers paths, databases and uploads, not rows: whoever copies the rows
elsewhere gets round it (docs/privacy.md, *Not covered*). A database belongs to one population as a
whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pipeline import databases, files
from pipeline.catalog import TRUTH, Home
from pipeline.refusal import Refusal
from pipeline.runs import addresses, registers
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
    owner = {"population": population, "kind": kind}
    with _claims(home) as (claims, connection):
        for place in _places(path):
            _refuse_foreign(place, claims, owner)
        _enter(connection, claims, (str(path),), owner)


def _claim_upload(home: Home, address: str, owner: dict[str, str]) -> None:
    """An upload has one name for ever, so its claim is its own and no other's."""
    if owner["kind"] == "simulated":
        raise Refusal(
            f"the population {owner['population']} is declared simulated, and the simulator hands"
            " nothing over: an upload is the source of another one"
        )
    with _claims(home) as (claims, connection):
        theirs = claims.get(address, owner)
        if theirs != owner:
            raise _foreign(address, owner, address, theirs)
        _enter(connection, claims, (address,), owner)


def _claim_database(home: Home, address: str, owner: dict[str, str]) -> None:
    where = addresses.parsed(address)
    if owner["kind"] == "simulated":
        raise Refusal(
            f"the population {owner['population']} is declared simulated, and the simulator wrote"
            f" no database: {where.text} is the source of another one"
        )
    names = addresses.identities(where)
    with _claims(home) as (claims, connection):
        for name in names:
            theirs = claims.get(name, owner)
            if theirs != owner:
                raise _foreign(where.text, owner, where.text, theirs)
        _enter(connection, claims, names, owner)


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


def read(home: Home) -> dict[str, dict[str, str]]:
    """Every claim: {place: {population, kind}}."""
    with _claims(home) as (claims, _):
        return claims


@contextmanager
def _claims(home: Home) -> Iterator[tuple[dict[str, dict[str, str]], Connection]]:
    """All claims, and the transaction in which one may be entered. Files of before are taken over
    first: source_paths.json of older versions, and a home's own registers once it names a
    database. None of their claims is lost: a place that both know keeps the database's.
    """
    older = [path for path in (home.source_paths, _own_registers(home)) if path.is_file()]
    with registers.transaction(home) as connection:
        for path in older:
            rows = [{"place": place, **owner} for place, owner in _earlier(path).items()]
            _refuse_differing(path, rows, _all(connection))
            registers.insert_new(connection, registers.CLAIM, rows)
        yield _all(connection), connection
    for path in older:
        registers.retire(path)


def _own_registers(home: Home) -> Path:
    """The file of registers that this home used before it named a database."""
    return home.registers if home.deployment.database else home.registers.with_suffix(".none")


def _earlier(path: Path) -> dict[str, dict[str, str]]:
    if path.suffix == ".json":
        claims: dict[str, dict[str, str]] = files.read_json(path, {})
        return claims
    engine = databases.engine_of(databases.url_of(path, "the registers"))
    with databases.connection_to(engine, "the registers", "Restore it from the backup") as source:
        is_there = sa.inspect(source).has_table(registers.CLAIM.name)
        return _all(source) if is_there else {}


def _refuse_differing(
    path: Path, rows: Iterable[dict[str, str]], claims: dict[str, dict[str, str]]
) -> None:
    for row in rows:
        owner = {"population": row["population"], "kind": row["kind"]}
        if claims.get(row["place"], owner) != owner:
            raise Refusal(
                f"{path.name} says that {row['place']} is the source of {row['population']}, and"
                " the database says another population: find out which is right, and correct the"
                " file. Nothing was changed"
            )


def _all(connection: Connection) -> dict[str, dict[str, str]]:
    rows = connection.execute(sa.select(registers.CLAIM))
    return {row.place: {"population": row.population, "kind": row.kind} for row in rows}


def _enter(
    connection: Connection,
    claims: dict[str, dict[str, str]],
    places: Iterable[str],
    owner: dict[str, str],
) -> None:
    """The places are the owner's from now on."""
    for place in places:
        if claims.get(place) != owner:
            connection.execute(sa.delete(registers.CLAIM).where(registers.CLAIM.c.place == place))
            connection.execute(sa.insert(registers.CLAIM), {"place": place, **owner})
