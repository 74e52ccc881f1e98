"""Which columns make the tables a log of events: dates or days, their day 0, intervals, the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

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
_END = re.compile(
    r"last|exit|end|death|dead|died|withdraw|discharg|follow|censor|recid|vital", re.IGNORECASE
)
_LAST = re.compile(r"last|exit|end|withdraw|follow|vital", re.IGNORECASE)
_STATUS = re.compile(r"status|reason|outcome|vital|censor|cause|dead|death|event", re.IGNORECASE)
_TYPE = re.compile(r"(^|[_ .])?(event|visit)?_?(type|kind)$|^event$|category$", re.IGNORECASE)
_UNITS = ("day", "week", "month", "year")


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


@dataclass(frozen=True)
class LogGuess:
    """The events of all tables. `origin`: a static column of dates, None for days that are counted
    already; `ending`: (table, column, code or None). `most_rows`: of a patient.
    """

    rows: tuple[RowsGuess, ...]
    main: TableGuess | None
    origin: str | None
    ending: tuple[str, str, str | None] | None
    others: tuple[TableGuess, ...]  # tables without a place in the log


def log_of(tables: Sequence[TableGuess]) -> LogGuess | None:
    """None: one row per patient, or nothing that tells when rows were."""
    main = next((table for table in tables if table.is_main), None)
    if main is not None and len(tables) == 1:
        return None
    guesses = [_rows(table) for table in tables if table is not main and _has_owner(table)]
    rows = tuple(one for one in guesses if one is not None)
    if not rows:
        return None
    in_log = {one.table.name for one in rows} | ({main.name} if main else set())
    return LogGuess(
        rows=rows,
        main=main,
        origin=_origin(main, rows),
        ending=_ending(main, _origin(main, rows)) if main else None,
        others=tuple(table for table in tables if table.name not in in_log),
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
    if log.ending is not None:
        columns.append(log.main.columns[log.ending[1]])
    for column in columns:
        if column.kind == "date" and earliest is not None and "lower" in column.facts:
            column.facts["lower"] = min(column.facts["lower"], earliest)


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
        unit=None if is_date else _unit(time),
        until=until,
        type=None if is_code else kind,
        code=kind if is_code else None,
        constant=_constant(table.name),
        attributes=tuple(name for name in rest if name not in static),
        static=static,
    )


def column_values(column: Guess) -> list[str]:
    return list(column.facts["categories"])


def _is_two_codes(column: Guess) -> bool:
    return set(column.facts["categories"]) <= {"0", "1", "2", "0.0", "1.0"}


def _time(table: TableGuess) -> str | None:
    """A date without gaps, by its name; else a number that is called after time."""
    dates = [name for name, column in table.columns.items() if column.kind == "date"]
    full = [name for name in dates if "nullable" not in table.columns[name].facts] or dates
    if full:
        hinted = [name for name in full if _DATED.search(name) and not _STOP.search(name)]
        return (hinted or full)[0]
    numbers = [
        name
        for name, column in table.columns.items()
        if column.kind == "continuous" and _TIME.search(name) and not _STOP.search(name)
    ]
    return numbers[0] if numbers else None


def _unit(name: str) -> str:
    """days, where the name says nothing else."""
    return next((f"{unit}s" for unit in _UNITS if unit in name.casefold()), "days")


def _constant(table: str) -> str:
    """A type's name from the table's: visits -> VISIT."""
    word = re.sub(r"[^A-Za-z0-9]+", "_", table).strip("_").upper()
    is_plural = word.endswith("S") and not word.endswith("SS") and len(word) > 3
    return (word[:-1] if is_plural else word)[:40] or "ROW"


def _static(table: TableGuess, names: Sequence[str]) -> tuple[str, ...]:
    """Columns with one value in all of a patient's rows, among the first rows of the file."""
    owner = table.patient
    if owner is None or not names:
        return ()
    counts = table.sample.group_by(owner).agg(pl.col(name).n_unique() for name in names)
    return tuple(name for name in names if counts[name].max() == 1)


def _origin(main: TableGuess | None, rows: Sequence[RowsGuess]) -> str | None:
    """The static date that is day 0: of the patients' table, else that of the first row."""
    if all(one.unit is not None for one in rows):
        return None
    if main is not None:
        dates = _dates(main)
        full = [name for name in dates if "nullable" not in main.columns[name].facts]
        hinted = [name for name in full if _ORIGIN.search(name)]
        others = [name for name in full if not _END.search(name)]
        if hinted or others:
            return (hinted or others)[0]
    return next(one.time for one in rows if one.unit is None)


def _dates(table: TableGuess) -> list[str]:
    return [name for name, one in table.columns.items() if one.kind == "date" and one.is_modelled]


def _ending(main: TableGuess, origin: str | None) -> tuple[str, str, str | None] | None:
    dates = [name for name in _dates(main) if name != origin and _END.search(name)]
    if not dates:
        return None
    full = [name for name in dates if "nullable" not in main.columns[name].facts]
    best = next((name for name in full or dates if _LAST.search(name)), (full or dates)[0])
    code = next(
        (
            name
            for name, one in main.columns.items()
            if one.kind == "categorical"
            and one.is_modelled
            and "nullable" not in one.facts  # whoever has no code has no legal end
            and _STATUS.search(name)
        ),
        None,
    )
    return main.name, best, code
