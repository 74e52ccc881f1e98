"""The event log of a declaration: types, attributes, grammar."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pipeline.schema import code_relations
from pipeline.schema.document import Path_
from pipeline.schema.fields import FieldReader
from pipeline.schema.values import (
    Column,
    CountedTable,
    Deadline,
    EventLog,
    EventSource,
    EventType,
    LegalCodes,
    freeze,
)

DEFAULT_GAP_EDGES = (  # days
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    10,
    14,
    15,
    18,
    21,
    22,
    25,
    28,
    29,
    32,
    36,
    42,
    49,
    56,
    63,
    75,
    90,
    105,
    120,
    150,
    180,
    240,
    300,
    365,
    455,
    545,
    730,
    910,
    1095,
    1460,
    1825,
    2190,
    2920,
)


def read_events(reader: FieldReader, columns: Mapping[str, Column]) -> EventLog | None:
    section = reader.section(("events",), required=False)
    if not section:
        return None
    path: Path_ = ("events",)
    values = dict(section)
    attributes = {
        name: reader.column((*path, "attributes", name), name, value)
        for name, value in reader.section((*path, "attributes"), required=False).items()
    }
    values["attributes"] = freeze(
        {name: column for name, column in attributes.items() if column is not None}
    )
    values["types"] = freeze(_event_types(reader, values["attributes"]))
    values["first"] = reader.strings((*path, "first"), values.get("first", []))
    values["legal_codes"] = _legal_codes(reader, columns, values["types"])
    values["deadlines"] = _deadlines(reader)
    values["gap_edges"] = tuple(int(edge) for edge in values.get("gap_edges") or DEFAULT_GAP_EDGES)
    if "observation_end" in values:
        values["observation_end"] = reader.strings(
            (*path, "observation_end"), values["observation_end"]
        )
    values["censoring"] = reader.strings((*path, "censoring"), values.get("censoring", []))
    values["treatments"] = reader.strings((*path, "treatments"), values.get("treatments", []))
    values["counted"] = _count_tables(reader)
    for source in ("rows", "ending"):
        if source in values:
            values[source] = reader.build(EventSource, (*path, source), values[source])
    log = reader.build(EventLog, path, values)
    if log is not None:
        _check_events(reader, log, columns)
    return log


def _deadlines(reader: FieldReader) -> tuple[Deadline, ...]:
    deadlines = []
    for index, entry in enumerate(reader.document.value["events"].get("deadlines") or []):
        path: Path_ = ("events", "deadlines", index)
        after = reader.strings((*path, "after"), entry.get("after", []))
        deadlines.append(reader.build(Deadline, path, {**entry, "after": after}))
    return tuple(deadline for deadline in deadlines if deadline is not None)


def _count_tables(reader: FieldReader) -> tuple[CountedTable, ...]:
    tables: list[CountedTable] = []
    for index, entry in enumerate(reader.document.value["events"].get("counted") or []):
        path: Path_ = ("events", "counted", index)
        parts = reader.strings((*path, "parts"), entry.get("parts", []))
        table = reader.build(CountedTable, path, {**entry, "parts": parts})
        if table is None:
            continue
        if not table.parts or len(set(table.parts)) < len(table.parts):
            reader.document.problem((*path, "parts"), "must name at least one part, each once")
        if not (isinstance(table.weight, int | float) and table.weight > 0):
            reader.document.problem((*path, "weight"), f"must be above 0, is {table.weight!r}")
        if table.parts in [other.parts for other in tables]:
            reader.document.problem(
                (*path, "parts"), "is counted already: give one table the weight of both"
            )
        tables.append(table)
    return tuple(tables)


def _event_types(reader: FieldReader, attributes: Mapping[str, Column]) -> dict[str, EventType]:
    types = {}
    for name, entry in reader.section(("events", "types")).items():
        path = ("events", "types", name)
        values = dict(entry or {})
        if "codes_from" in values:
            values["codes"] = tuple(
                reader.named(
                    (*path, "codes_from"), values.pop("codes_from"), code_relations.categories
                )
                or ()
            )
        for field in ("codes", "attributes"):
            if field in values:
                values[field] = reader.strings((*path, field), values[field])
        event_type = reader.build(EventType, path, values, name=name)
        if event_type is None:
            continue
        if event_type.until is not None and not isinstance(event_type.until, date):
            reader.document.problem(
                (*path, "until"), f"must be an ISO date, is {event_type.until!r}"
            )
        for attribute in event_type.attributes:
            if attribute not in attributes:
                reader.document.problem(
                    (*path, "attributes"),
                    f"no attribute named {attribute!r} under events.attributes",
                )
        types[name] = event_type
    return types


def _legal_codes(
    reader: FieldReader, columns: Mapping[str, Column], types: Mapping[str, EventType]
) -> tuple[LegalCodes, ...]:
    legal_codes = []
    for index, entry in enumerate(reader.document.value["events"].get("legal_codes") or []):
        path: Path_ = ("events", "legal_codes", index)
        values = dict(entry) | {"allowed": reader.relation(path, entry)}
        values.pop("allowed_from", None)
        legal = reader.build(LegalCodes, path, values)
        if legal is None:
            continue
        if legal.type not in types:
            reader.document.problem((*path, "type"), f"no event type named {legal.type!r}")
        if legal.given not in columns:
            reader.document.problem((*path, "given"), f"no static column named {legal.given!r}")
        legal_codes.append(legal)
    return tuple(legal_codes)


def _check_events(reader: FieldReader, log: EventLog, columns: Mapping[str, Column]) -> None:
    path: Path_ = ("events",)
    for name in set(log.attributes) & set(log.types):
        reader.document.problem(
            (*path, "attributes", name),
            "is the name of an event type, too: facts could not tell them apart",
        )
    if log.origin not in columns or columns[log.origin].kind != "date":
        reader.document.problem(
            (*path, "origin"), f"{log.origin!r} must be a static column of kind date"
        )
    if not log.terminal:
        reader.document.problem((*path, "types"), "no type is terminal: every pathway needs an end")
    named = {
        "first": log.first,
        "treatments": log.treatments,
        "anchor": (log.anchor,) if log.anchor else (),
        "deadlines": tuple(n for d in log.deadlines for n in (d.event, *d.after)),
        "types": tuple(n for t in log.types.values() for n in (t.inside, t.closes) if n),
    }
    for field, names in named.items():
        for name in names:
            if name not in log.types:
                reader.document.problem((*path, field), f"no event type named {name!r}")
    if list(log.gap_edges) != sorted(set(log.gap_edges)) or log.gap_edges[:1] != (0,):
        reader.document.problem((*path, "gap_edges"), "must ascend from 0")
    if log.observation_end is not None:
        kind, code = log.observation_end if len(log.observation_end) == 2 else ("", "")
        if kind not in log.terminal or code not in log.types[kind].codes:
            reader.document.problem(
                (*path, "observation_end"), "must be [type, code] of a terminal type"
            )
    ends = {*log.terminal, *(code for name in log.terminal for code in log.types[name].codes)}
    for name in log.censoring:
        if name not in ends:
            reader.document.problem(
                (*path, "censoring"), f"{name!r} is no terminal type and no code of one"
            )
    if log.max_events < 2:
        reader.document.problem((*path, "max_events"), f"must be at least 2, is {log.max_events}")
