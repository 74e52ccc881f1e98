"""The log of actions of both processes, as one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import sqlalchemy as sa
from starlette.requests import Request

from pipeline.refusal import Refusal
from portal.shared.database import connection, exchange
from portal.shared.tables import actions

COLUMNS = ("at", "process", "email", "role", "address", "action", "subject")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute such a cell


@dataclass(frozen=True)
class Filter:
    """Which actions: those of a person, of a kind, in a time. Empty: all."""

    person: str = ""  # a part of the address
    action: str = ""
    since: date | None = None
    until: date | None = None  # that day included

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        parts: list[sa.ColumnElement[bool]] = []
        if self.person:
            parts.append(actions.c.email.contains(self.person.lower(), autoescape=True))
        if self.action:
            parts.append(actions.c.action == self.action)
        if self.since:
            parts.append(actions.c.at >= _begin(self.since))
        if self.until:
            parts.append(actions.c.at < _begin(self.until) + 24 * 3600)
        return parts


@dataclass(frozen=True)
class Action:
    """One line."""

    at: int
    process: str
    email: str
    role: str
    address: str
    action: str
    subject: str


def day(text: str) -> date | None:
    """The date of a form's field; None for an empty one. Raises Refusal for what is no date."""
    if not text:
        return None
    try:
        value = date.fromisoformat(text)
    except ValueError:
        raise Refusal("a date is written as 2026-01-31") from None
    if not date(1970, 1, 1) <= value <= date(9998, 12, 31):
        raise Refusal("a date lies between 1970 and 9998")
    return value


def read(request: Request, filters: Filter, most: int, skip: int = 0) -> list[Action]:
    """The newest first: `most` of them, after the `skip` newest."""
    both: list[Action] = []
    for process, open_connection in (("custodian", connection), ("public", exchange)):
        query = (
            sa.select(actions)
            .where(*filters.conditions())
            .order_by(actions.c.at.desc(), actions.c.id.desc())
            .limit(skip + most)
        )
        with open_connection(request) as c:
            both += [
                Action(r.at, process, r.email, r.role, r.address, r.action, r.subject)
                for r in c.execute(query)
            ]
    both.sort(key=lambda one: -one.at)  # of one process, the order of the query is kept
    return both[skip : skip + most]


def kinds(request: Request) -> Sequence[str]:
    """Every action that was noted, for the form."""
    names: set[str] = set()
    for open_connection in (connection, exchange):
        with open_connection(request) as c:
            names |= set(c.scalars(sa.select(actions.c.action).distinct()))
    return sorted(names)


def as_csv(some: Sequence[Action]) -> Iterator[str]:
    """The lines of a CSV file; a cell that a spreadsheet would compute begins with a quote."""
    yield _line(COLUMNS)
    for one in some:
        at = datetime.fromtimestamp(one.at, UTC).isoformat()
        cells = (at, one.process, one.email, one.role, one.address, one.action, one.subject)
        yield _line([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _begin(of: date) -> int:
    return int(datetime.combine(of, time(), UTC).timestamp())
