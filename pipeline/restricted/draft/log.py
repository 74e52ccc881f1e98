"""Which columns make the tables a log of events: dates or days, their day 0, intervals, the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.refusal import Refusal
from pipeline.restricted.draft.ends import (
    END_NAME,
    EndGuess,
    as_event,
    ends_of,
    pairs_of,
    type_name,
    unit_of,
)
from pipeline.restricted.draft.guesses import Guess
from pipeline.restricted.draft.tables import TableGuess
from pipeline.schema.names import column_fault

_MOSTLY = 0.95  # of rows have a type; the others are no events
MOST_TYPES = 12  # values of a column that may name the types of events
_TIME = re.compile(
    r"^(t|time|day|days|week|weeks|month|months|year|start|begin|from|t?start|tstart|time_?0)$"
    r"|(^|[_ .])(day|days|week|weeks|month|months|time|start|onset)([_ .0]|$)",
    re.IGNORECASE,
)
_STOP = re.compile(r"(^|[_ .])(stop|end|to|until|finish|tstop|time_?1)([_ .]|$)", re.IGNORECASE)
_DATED = re.compile(r"date|day|visit|seen|start|onset|when|time", re.IGNORECASE)
_ORIGIN = re.compile(r"enrol|entry|inclu|random|diag|admi|baseline|first|regist|index|start", re.I)
_TYPE = re.compile(r"(^|[_ .])?(event|visit)?_?(type|kind)$|^event$|category$", re.IGNORECASE)
_TIMES = ("date", "continuous")


@dataclass(frozen=True)
class RowsGuess:
    """The rows of one table as events. `time`: a date, or a number in `unit`; `until`: where an
    interval ends; `type`: the column that names the types, else every row is of type `constant`.
    """

    table: TableGuess
    time: str
    unit: str | None  # None: dates
    until: str | None
    type: str | None
    code: str | None  # the column of their codes, where its values are no names of types
    constant: str
    attributes: tuple[str, ...]
    static: tuple[str, ...]  # columns of it that never change within a patient
    touches: bool = False  # whether some intervals begin when another of the patient ends


@dataclass(frozen=True)
class LogGuess:
    """The events of all tables. `origin`: a static column of dates, None for days that are counted
    already. `main` is None for one long table, whose static columns and ends are said `once`.
    """

    rows: tuple[RowsGuess, ...]
    main: TableGuess | None
    origin: str | None
    ending: tuple[EndGuess, ...]
    others: tuple[TableGuess, ...] = ()  # tables without a place in the log
    # of one row per patient: events that he or she has once or never
    single: tuple[EndGuess, ...] = ()

    @property
    def once(self) -> tuple[str, ...] | None:
        """Of one long table, the columns that say the same in every row of a patient."""
        return None if self.main is not None else self.rows[0].static

    @property
    def end_columns(self) -> set[str]:
        return {name for end in (*self.ending, *self.single) for name in end.columns}


def log_of(tables: Sequence[TableGuess], *, pathways: bool = False) -> LogGuess | None:
    """None: one row per patient, or nothing that tells when rows were. pathways: one row per
    patient is a pathway, too, of the times that have a status beside them. Raises Refusal where
    there are none.
    """
    main = next((table for table in tables if table.is_main), None)
    if len(tables) == 1 and pathways:
        return _wide(tables[0])
    if main is not None and len(tables) == 1:
        return None
    guesses = [_rows(table) for table in tables if table is not main and _has_owner(table)]
    rows = tuple(one for one in guesses if one is not None)
    if not rows:
        return None
    in_log = {one.table.name for one in rows} | ({main.name} if main else set())
    people, names = (main, tuple(main.columns)) if main else (rows[0].table, rows[0].static)
    origin = _origin(people, names, rows)
    unit = None if origin is not None else next(one.unit for one in rows if one.unit is not None)
    return LogGuess(
        rows=rows,
        main=main,
        origin=origin,
        ending=ends_of(people, names, origin, unit),
        others=tuple(table for table in tables if table.name not in in_log),
    )


def _wide(table: TableGuess) -> LogGuess:
    pairs = pairs_of(table) if table.is_main else ()
    if not pairs:
        raise Refusal(
            f"{table.source.path.name}: pathways of one row per patient need a column with a unique"
            " id, and a number of days followed by its status, such as futime and death"
        )
    return LogGuess(
        rows=(),
        main=table,
        origin=None,
        ending=pairs[-1:],
        single=tuple(as_event(pair) for pair in pairs[:-1]),
    )


def begin_with_day_0(log: LogGuess) -> None:
    """Dates of events and ends may be as early as day 0: the model draws them from there on."""
    if log.main is None or log.origin is None or log.origin not in log.main.columns:
        return
    earliest = log.main.columns[log.origin].facts.get("lower")
    columns = [
        rows.table.columns[name]
        for rows in log.rows
        for name in (rows.time, rows.until)
        if name is not None
    ]
    columns += [log.main.columns[end.time] for end in log.ending]
    for column in columns:
        if column.kind == "date" and earliest is not None and "lower" in column.facts:
            column.facts["lower"] = min(column.facts["lower"], earliest)


def leave_intervals_open(log: LogGuess) -> None:
    """Whoever's pathway ends within an interval has no end of it."""
    for rows in log.rows:
        if rows.until is not None and "nullable" not in rows.table.columns[rows.until].facts:
            rows.table.columns[rows.until].form["nullable"] = True


def _has_owner(table: TableGuess) -> bool:
    return table.patient is not None or table.through is not None


def _rows(table: TableGuess) -> RowsGuess | None:
    time = _time(table)
    if time is None:
        return None
    column = table.columns[time]
    is_date = column.kind == "date"
    until = next(
        (
            name
            for name, other in table.columns.items()
            if name != time and _STOP.search(name) and other.kind == column.kind
        ),
        None,
    )
    kind = next(
        (
            name
            for name, other in table.columns.items()
            if other.kind == "categorical"
            and other.is_modelled
            and 2 <= len(other.facts["categories"]) <= MOST_TYPES
            and table.cells[name].n_full >= _MOSTLY * table.n_rows
            and not _is_two_codes(other)
            and _TYPE.search(name)
        ),
        None,
    )
    # what cannot be a name, such as "ang/isc", is a code of one type
    is_code = kind is not None and any(map(column_fault, column_values(table.columns[kind])))
    used = {time, until, kind, table.patient}
    rest = [name for name, other in table.columns.items() if other.is_modelled and name not in used]
    static = _static(table, rest)
    return RowsGuess(
        table=table,
        time=time,
        unit=None if is_date else unit_of(time),
        until=until,
        type=None if is_code else kind,
        code=kind if is_code else None,
        constant=type_name(table.name),
        attributes=tuple(name for name in rest if name not in static),
        static=static,
        touches=until is not None and _touches(table, time, until),
    )


def _touches(table: TableGuess, time: str, until: str) -> bool:
    """Among the first rows of the file."""
    owner = table.patient
    if owner is None:
        return False
    starts = table.sample.select(owner, pl.col(time).alias("_at"))
    ends = table.sample.filter(pl.col(time) != pl.col(until)).select(
        owner, pl.col(until).alias("_at")
    )
    return starts.join(ends, on=[owner, "_at"], how="semi").height > 0


def column_values(column: Guess) -> list[str]:
    return list(column.facts["categories"])


def _is_two_codes(column: Guess) -> bool:
    return set(column.facts["categories"]) <= {"0", "1", "2", "0.0", "1.0"}


def _time(table: TableGuess) -> str | None:
    """A date without gaps, by its name; else a number that is called after time. One that differs
    between the rows of a patient, where there is one.
    """
    static = set(_static(table, [n for n, one in table.columns.items() if one.kind in _TIMES]))
    return _time_of(table, static) or _time_of(table, set())


def _time_of(table: TableGuess, static: set[str]) -> str | None:
    dates = [
        name
        for name, column in table.columns.items()
        if column.kind == "date" and name not in static
    ]
    full = [name for name in dates if "nullable" not in table.columns[name].facts] or dates
    if full:
        hinted = [name for name in full if _DATED.search(name) and not _STOP.search(name)]
        return (hinted or full)[0]
    numbers = [
        name
        for name, column in table.columns.items()
        if column.kind == "continuous"
        and name not in static
        and _TIME.search(name)
        and not _STOP.search(name)
    ]
    return numbers[0] if numbers else None


def _static(table: TableGuess, names: Sequence[str]) -> tuple[str, ...]:
    """Columns with one value in all of a patient's rows, among the first rows of the file."""
    owner = table.patient
    if owner is None or not names:
        return ()
    counts = table.sample.group_by(owner).agg(pl.col(name).n_unique() for name in names)
    return tuple(name for name in names if counts[name].max() == 1)


def _origin(people: TableGuess, names: Sequence[str], rows: Sequence[RowsGuess]) -> str | None:
    """The static date that is day 0, among `names` of the patients' table; else that of the first
    row.
    """
    if all(one.unit is not None for one in rows):
        return None
    columns = {name: people.columns[name] for name in names}
    full = [
        name
        for name, one in columns.items()
        if one.kind == "date" and one.is_modelled and "nullable" not in one.facts
    ]
    hinted = [name for name in full if _ORIGIN.search(name)]
    others = [name for name in full if not END_NAME.search(name)]
    if hinted or others:
        return (hinted or others)[0]
    return next(one.time for one in rows if one.unit is None)
