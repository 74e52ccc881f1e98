"""The event log of a draft: `patients` and `events` as mappings of YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml.comments import CommentedMap

from pipeline.restricted.draft.ends import CENSORED, END, START, EndGuess
from pipeline.restricted.draft.guesses import Facts
from pipeline.restricted.draft.log import LogGuess, RowsGuess, column_values
from pipeline.restricted.draft.yaml_parts import Statement, flow, listing, marked, rounded
from pipeline.schema.fields import day_of

_DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
Names = Mapping[str, Mapping[str, str]]  # table -> name here -> name in the declaration


def static_entries(log: LogGuess, names: Names) -> CommentedMap:
    """The static columns, each like one of a table's; the patients' table first."""
    columns = CommentedMap()
    if log.main is not None:
        table = log.main
        for name, guess in table.columns.items():
            if guess.is_modelled and name not in log.end_columns:
                columns[names[table.name][name]] = _like(table.name, names[table.name][name])
    for rows in log.rows:
        ends = log.end_columns if log.main is None else set()
        static = [name for name in rows.static if name not in ends]
        if log.main is None and log.origin == rows.time:
            static.insert(0, rows.time)
        for name in static:
            new = names[rows.table.name][name]
            if new not in columns:
                columns[new] = _like(rows.table.name, new)
    return columns


def _like(table: str, column: str) -> CommentedMap:
    return flow({"like": f"{table}.{column}"})


def events_entry(
    log: LogGuess, names: Names, tables: CommentedMap, statement: Statement
) -> CommentedMap:
    """`tables`: the declared tables, whose columns the attributes repeat."""
    types, attributes = _types_and_attributes(log, names, tables)
    sources = _sources(log, names)
    ends, codes = _end_types(log)
    types.update(ends)
    most = _most_rows(log) + len(types) if log.single else _most_rows(log) + 2
    facts: Facts = {"max_events": rounded(most), "upper_day": _last_day(log)}
    if (first_day := _first_day(log)) < 0:
        facts["lower_day"] = first_day
    named_by_ends = any(end.codes for end in log.ending)
    named_by_rows = named_by_ends or any(rows.type or rows.code for rows in log.rows)
    # who is in the patients' table and has no rows has nothing but an end
    opening = [name for name in types if "inside" not in (types[name] or {})]
    if log.rows:
        first = listing([name for name in opening if name not in ends or log.main is not None])
    else:
        first = listing([START])
    entry = CommentedMap()
    entry["origin"] = _origin(log, names)
    entry["anchor"] = None if log.rows else START
    if named_by_rows and not statement.published:
        facts |= {"first": first, "types": types}
    else:
        entry["first"] = first
    is_fact = named_by_ends and not statement.published
    single_place = facts if is_fact and log.single else entry
    single_place["rows"] = sources[0] if len(sources) == 1 else sources
    endings = [_ending(end, names[end.table.name]) for end in log.ending]
    if endings:
        (facts if is_fact else entry)["ending"] = endings[0] if len(endings) == 1 else endings
    if CENSORED in ends:
        entry["censoring"] = listing([CENSORED])
    entry = marked(entry, facts, statement)
    if "types" not in facts:
        if codes:
            marked(types[END], {"codes": codes}, statement)
        entry["types"] = types
    elif codes:
        types[END]["codes"] = listing(codes)
    if attributes:
        entry["attributes"] = attributes
    return entry


def _types_and_attributes(
    log: LogGuess, names: Names, tables: CommentedMap
) -> tuple[CommentedMap, CommentedMap]:
    """Of the rows; an attribute repeats the column of its table."""
    types, attributes = CommentedMap(), CommentedMap()
    for rows in log.rows:
        columns = tables[rows.table.name]["columns"]
        own = [names[rows.table.name][name] for name in rows.attributes]
        for name in own:
            if name not in attributes:
                attributes[name] = columns[name]
                columns[name].yaml_set_anchor(_anchor(name), always_dump=False)
        types.update(_types(rows, own))
    if not log.rows:
        types[START] = flow({})
    for name in [name for one in log.single for _, name in one.codes]:
        types[name] = flow({"at_most": 1})
    return types, attributes


def _anchor(name: str) -> str:
    return "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in name)


def _origin(log: LogGuess, names: Names) -> str | None:
    if log.origin is None:
        return None
    table = log.main if log.main and log.origin in log.main.columns else log.rows[0].table
    return names[table.name][log.origin]


def _sources(log: LogGuess, names: Names) -> list[CommentedMap]:
    sources = [_source(rows, names[rows.table.name]) for rows in log.rows]
    if not log.rows and log.main is not None:  # every patient begins on day 0
        sources.append(flow({"table": log.main.name, "constant": START}))
    return [*sources, *(_ending(one, names[one.table.name]) for one in log.single)]


def _source(rows: RowsGuess, names: Mapping[str, str]) -> CommentedMap:
    time: dict[str, Any] = {"date": names[rows.time]}
    if rows.unit is not None:
        time = {"day": names[rows.time], "unit": rows.unit}
    kind = {"constant": rows.constant} if rows.type is None else {"type": names[rows.type]}
    if rows.code is not None:
        kind["code"] = names[rows.code]
    until = {}
    if rows.until is not None:
        until = {"until": names[rows.until], "closes": _closing(rows)}
    return flow({"table": rows.table.name} | time | kind | until)


def _closing(rows: RowsGuess) -> str:
    return f"{rows.constant}_END"


def _types(rows: RowsGuess, attributes: list[str]) -> CommentedMap:
    opening = [rows.constant]
    if rows.type is not None:
        opening = list(rows.table.columns[rows.type].facts["categories"])
    types = CommentedMap()
    for name in opening:
        types[name] = flow({"attributes": listing(attributes)} if attributes else {})
        if rows.code is not None:
            types[name]["codes"] = listing(column_values(rows.table.columns[rows.code]))
    if rows.until is not None:
        closing = flow({"inside": opening[0], "closes": opening[0]})
        # within a day: where one interval begins as another ends, the end comes first
        types.insert(0 if rows.touches else len(types), _closing(rows), closing)
    return types


def _ending(end: EndGuess, names: Mapping[str, str]) -> CommentedMap:
    time: dict[str, Any] = {"date": names[end.time]}
    if end.unit is not None:
        time = {"day": names[end.time], "unit": end.unit}
    kind: dict[str, Any] = {"constant": end.constant}
    if end.status is not None:
        kind = {"status": names[end.status], "codes": flow(dict(end.codes))}
    if end.code is not None:
        kind["code"] = names[end.code]
    return flow({"table": end.table.name} | time | kind)


def _end_types(log: LogGuess) -> tuple[CommentedMap, list[str]]:
    """The terminal types, and the codes of END. Without a source of ends all end as END."""
    types = CommentedMap()
    for name in [name for end in log.ending for name in end.types] or [END]:
        types[name] = flow({"terminal": True, "at_most": 1})
    codes = [
        value
        for end in log.ending
        if end.code is not None
        for value in column_values(end.table.columns[end.code])
    ]
    return types, codes


def _most_rows(log: LogGuess) -> int:
    """Of one patient, in all tables together."""
    most = 0
    for rows in log.rows:
        owner = rows.table.patient or (rows.table.through or ("", ""))[1]
        times = rows.table.cells[owner].times
        most += int(times.max()) * (1 if rows.until is None else 2) if len(times) else 0
    return most


def _first_day(log: LogGuess) -> int:
    """Of days that are counted already, the smallest, rounded away from 0."""
    days = [
        float(rows.table.columns[rows.time].facts.get("lower", 0)) * _DAYS[rows.unit]
        for rows in log.rows
        if rows.unit is not None
    ]
    return -rounded(-1.1 * min(days)) if days and min(days) < 0 else 0


def _last_day(log: LogGuess) -> int:
    """A day after the last that the files hold, rounded."""
    starts, ends = [], []
    for rows in log.rows:
        for name in (rows.time, rows.until):
            guess = rows.table.columns[name] if name is not None else None
            if guess is None or "upper" not in guess.facts:
                continue
            if rows.unit is not None:
                ends.append(guess.facts["upper"] * _DAYS[rows.unit])
                starts.append(0.0)
            else:
                ends.append(day_of(guess.facts["upper"]) or 0.0)
                starts.append(day_of(guess.facts["lower"]) or 0.0)
    last_times = [
        (end.table.columns[end.time].facts["upper"], end.unit)
        for end in log.ending
        if "upper" in end.table.columns[end.time].facts
    ]
    numbers = [upper * _DAYS[unit] for upper, unit in last_times if unit is not None]
    if numbers:  # a pathway ends on any day up to the last
        return int(min(numbers))
    ends += [day_of(upper) or 0.0 for upper, _ in last_times]
    if log.main is not None and log.origin is not None and log.origin in log.main.columns:
        starts = [day_of(log.main.columns[log.origin].facts["lower"]) or 0.0]
    span = max(ends, default=1.0) - min(starts, default=0.0)
    return rounded(1.1 * span + 1)
