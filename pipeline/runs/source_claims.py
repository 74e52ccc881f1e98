"""Which population the rows at a path belong to: one path, one population (privacy_rules.md 4 and
16).

The same rows under a second population would be charged to another budget, and approved by another
rule. The register remembers paths, databases and uploads, not rows: whoever copies the rows
elsewhere gets round it (docs/privacy.md, *Not covered*). A database belongs to one population as a
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pipeline import databases, files
from pipeline.catalog import TRUTH, Home
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.runs import addresses, registers
from pipeline.runs.uploads.address import is_upload

Claim = dict[str, str]  # population and kind
PROVISIONAL = "provisional"  # a key of a claim whose source was not looked at yet


def claim(
    home: Home, source: str | Path, *, population: str, kind: str, for_good: bool = True
) -> None:
    """Registers the source of a population; the same again changes nothing.

    `for_good`: what lies there has the structure that the declaration says. A claim of before that
    gives way to another population, never to one that a run may approve by itself where its own is
    not: so a slip of the dataset's name closes no path, and no confidential row becomes public.

    Raises Refusal where the path is equal to, inside or above one of another population, where
    the database is that of another population, whatever address it is called by, or where invented
    patients are claimed of what the simulator did not write.
    """
    owner: Claim = {"population": population, "kind": kind}
    if addresses.is_address(source):
        where = addresses.parsed(str(source))
        _refuse_invented(owner, where.text, "wrote no database", "it")
        names = addresses.identities(where)
        _register(home, where.text, names, owner, for_good, names.__contains__)
    elif is_upload(source):
        # an upload has one name for ever, so its claim is its own and no other's
        _refuse_invented(owner, str(source), "hands nothing over", "an upload")
        names = [str(source)]
        _register(home, names[0], names, owner, for_good, names.__contains__)
    else:
        path = Path(source).resolve()
        _refuse_unsimulated(path, population, kind)
        meets = partial(_meet, _places(path))
        _register(home, str(path), [str(path)], owner, for_good, meets)


def _register(
    home: Home,
    source: str,
    names: list[str],
    owner: Claim,
    for_good: bool,
    meets: Callable[[str], bool],
) -> None:
    """Puts `names` into the register as those of `owner`. `meets`: whether what is registered by
    that name may hold rows of this source.
    """
    with _claims(home) as (before, connection):
        claims = dict(before)
        for name, theirs in before.items():
            if not meets(name) or _is_of(theirs, owner):
                continue
            if not _gives_way(theirs, owner):
                raise _foreign(source, owner, source if name in names else name, theirs)
            if _is_within(name, names):  # else the rest of that place is still theirs
                del claims[name]
        for name in names:
            is_final = for_good or (name in claims and PROVISIONAL not in claims[name])
            claims[name] = owner if is_final else {**owner, PROVISIONAL: "yes"}
        _enter(connection, before, claims)


def _is_of(claim: Claim, owner: Claim) -> bool:
    return all(claim[key] == owner[key] for key in ("population", "kind"))


def _gives_way(theirs: Claim, owner: Claim) -> bool:
    is_laxer = owner["kind"] in SELF_APPROVING_KINDS and theirs["kind"] not in SELF_APPROVING_KINDS
    return PROVISIONAL in theirs and not is_laxer


def _is_within(name: str, names: list[str]) -> bool:
    """Whether all that is registered by a name is at one of these, too."""
    return any(Path(name).is_relative_to(one) for one in names)


def _places(path: Path) -> list[Path]:
    """The path, and where the links in it lead: a folder of links is the folder they lead to."""
    inside = path.iterdir() if path.is_dir() else ()
    return [path, *(entry.resolve() for entry in inside if entry.is_symlink())]


def _meet(places: list[Path], name: str) -> bool:
    """Whether one of the places is equal to, inside or above a path of the register. What is
    registered of a database is no path that one lies in or above.
    """
    claim = Path(name)
    return any(place.is_relative_to(claim) or claim.is_relative_to(place) for place in places)


def _foreign(source: str, owner: Claim, claim: str, theirs: Claim) -> Refusal:
    return Refusal(
        f"the source {source} is for the {owner['kind']} population {owner['population']},"
        f" but {claim} is registered as the source of the {theirs['kind']} population"
        f" {theirs['population']}: rows belong to one population and are charged there; use"
        " that population's dataset, or name the right folder"
    )


def _refuse_invented(owner: Claim, source: str, deed: str, what: str) -> None:
    if owner["kind"] == "simulated":
        raise Refusal(
            f"the population {owner['population']} is declared simulated, and the simulator {deed}:"
            f" {what} is the source of another one ({source})"
        )


def _refuse_unsimulated(path: Path, population: str, kind: str) -> None:
    folder = path if path.is_dir() else path.parent
    if kind == "simulated" and not (folder / TRUTH).is_file():
        raise Refusal(
            f"the population {population} is declared simulated, but the source {path} has no"
            f" {TRUTH} beside its tables, so the simulator did not write it; make it with `python"
            " -m pipeline simulate`, or use a dataset of a confidential population"
        )


def read(home: Home) -> dict[str, Claim]:
    """Every claim: {place: {population, kind}}, and `provisional` where its source was not looked
    at yet.
    """
    with _claims(home) as (claims, _):
        return claims


def take_over(home: Home) -> None:
    """What older versions kept in a file is in the registers when this returns."""
    if home.source_paths.is_file():
        read(home)


@contextmanager
def _claims(home: Home) -> Iterator[tuple[dict[str, Claim], Connection]]:
    """All claims, and the transaction in which some may be entered. Files of before are taken over
    first: source_paths.json of older versions, and a home's own registers once it names a
    database. None of their claims is lost: a place that both know keeps the database's.
    """
    older = [path for path in (home.source_paths, _own_registers(home)) if path.is_file()]
    with registers.transaction(home) as connection:
        for path in older:
            there = _all(connection)
            _enter(connection, there, _with_earlier(path, there))
        yield _all(connection), connection
    for path in older:
        registers.retire(path)


def _own_registers(home: Home) -> Path:
    """The file of registers that this home used before it named a database."""
    return home.registers if home.deployment.database else home.registers.with_suffix(".none")


def _with_earlier(path: Path, claims: Mapping[str, Claim]) -> dict[str, Claim]:
    """The claims, and those of a file of before. One that the file has for good is so. Raises
    Refusal where the two say different populations of a place.
    """
    merged = dict(claims)
    for place, earlier in _earlier(path).items():
        ours = merged.get(place, earlier)
        if not _is_of(ours, earlier):
            raise Refusal(
                f"{path.name} says that {place} is the source of {earlier['population']}, and"
                " the database says another population: find out which is right, and correct the"
                " file. Nothing was changed"
            )
        merged[place] = earlier if PROVISIONAL in ours else ours
    return merged


def _earlier(path: Path) -> dict[str, Claim]:
    if path.suffix == ".json":
        claims: dict[str, Claim] = files.read_json(path, {})
        return claims
    engine = databases.engine_of(databases.url_of(path, "the registers"))
    with databases.connection_to(engine, "the registers", "Restore it from the backup") as source:
        is_there = sa.inspect(source).has_table(registers.CLAIM.name)
        return _all(source) if is_there else {}


def _all(connection: Connection) -> dict[str, Claim]:
    return {row.place: _claim_of(row) for row in connection.execute(sa.select(registers.CLAIM))}


def _claim_of(row: sa.Row[Any]) -> Claim:
    owner = {"population": row.population, "kind": row.kind}
    return {**owner, PROVISIONAL: "yes"} if row.provisional else owner


def _enter(connection: Connection, before: Mapping[str, Claim], after: Mapping[str, Claim]) -> None:
    """The register holds what is `after`, and not what was `before`, from now on."""
    for place in sorted(before.keys() | after.keys()):
        if before.get(place) == after.get(place):
            continue
        connection.execute(sa.delete(registers.CLAIM).where(registers.CLAIM.c.place == place))
        if place in after:
            claim = after[place]
            owner = {"population": claim["population"], "kind": claim["kind"]}
            connection.execute(
                sa.insert(registers.CLAIM),
                {"place": place, **owner, "provisional": PROVISIONAL in claim},
            )
