"""The event log of a declaration: types, attributes, grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.schema import code_relations, event_rule_reader
from pipeline.schema.columns import ColumnReader
from pipeline.schema.document import Path_
from pipeline.schema.event_checks import check_events
from pipeline.schema.names import static_fault, words_fault
from pipeline.schema.source_reader import read_sources
from pipeline.schema.value_types import in_short, type_fault
from pipeline.schema.values import (
    Column,
    CountedTable,
    EventLog,
    EventType,
    freeze,
)

DEFAULT_GAP_EDGES = (  # days
    0, 1, 2, 3, 5, 7, 8, 10, 14, 15, 18, 21, 22, 25, 28, 29, 32, 36, 42, 49, 56, 63, 75, 90,
    105, 120, 150, 180, 240, 300, 365, 455, 545, 730, 910, 1095, 1460, 1825, 2190, 2920,
)  # fmt: skip


def read_events(reader: ColumnReader, columns: Mapping[str, Column]) -> EventLog | None:
    section = reader.section(("events",), required=False)
    if not section:
        return None
    path: Path_ = ("events",)
    values = dict(section)
    attributes = freeze(_attributes(reader))
    types = freeze(_event_types(reader, attributes))
    ready: dict[str, Any] = {
        "attributes": attributes,
        "types": types,
        "legal_codes": event_rule_reader.legal_codes(reader, columns, types),
        "exclusions": event_rule_reader.exclusions(reader, columns, types),
        "deadlines": event_rule_reader.deadlines(reader, columns),
        "windows": event_rule_reader.windows(reader),
        "largest_steps": event_rule_reader.largest_steps(reader, attributes),
        "counted": _count_tables(reader),
        "gap_edges": _gap_edges(reader, values.get("gap_edges")),
    }
    for name in ("first", "treatments", "censoring"):
        ready[name] = reader.distinct((*path, name), values.get(name) or [])
    for name in ("rows", "ending"):
        if name in values:
            ready[name] = read_sources(reader, (*path, name), values[name])
    if values.get("observation_end") is not None:
        ready["observation_end"] = reader.strings(
            (*path, "observation_end"), values["observation_end"]
        )
    rest = {name: value for name, value in values.items() if name not in ready}
    log = reader.build(EventLog, path, rest, **ready)
    if not isinstance(log, EventLog):
        return None
    check_events(reader, log, columns)
    return log


def _attributes(reader: ColumnReader) -> dict[str, Column]:
    path: Path_ = ("events", "attributes")
    attributes = {}
    for name, value in reader.section(path, required=False).items():
        if fault := words_fault(name) or static_fault(name, has_events=True):
            reader.document.problem((*path, name), fault)
        column = reader.column((*path, name), name, value)
        if column is not None:
            attributes[name] = column
    return attributes


def _gap_edges(reader: ColumnReader, value: Any) -> tuple[int, ...]:
    if value is None:
        return DEFAULT_GAP_EDGES
    is_list = isinstance(value, list)
    if not is_list or any(type_fault(int, edge) for edge in value):
        reader.document.problem(
            ("events", "gap_edges"), f"must be a list of whole numbers, is {in_short(value)}"
        )
        return DEFAULT_GAP_EDGES
    return tuple(value)


def _count_tables(reader: ColumnReader) -> tuple[CountedTable, ...]:
    tables: list[CountedTable] = []
    for path, entry in reader.entries(("events", "counted")):
        parts = reader.strings((*path, "parts"), entry.pop("parts", []))
        table = reader.build(CountedTable, path, entry, parts=parts)
        if not isinstance(table, CountedTable):
            continue
        if not table.parts or len(set(table.parts)) < len(table.parts):
            reader.document.problem((*path, "parts"), "must name at least one part, each once")
        if not table.weight > 0:
            reader.document.problem((*path, "weight"), f"must be above 0, is {table.weight!r}")
        if table.parts in [other.parts for other in tables]:
            reader.document.problem(
                (*path, "parts"), "is counted already: give one table the weight of both"
            )
        tables.append(table)
    return tuple(tables)


def _event_types(reader: ColumnReader, attributes: Mapping[str, Column]) -> dict[str, EventType]:
    types = {}
    for name, entry in reader.section(("events", "types")).items():
        path: Path_ = ("events", "types", name)
        if fault := words_fault(name):
            reader.document.problem(path, fault)
        if entry is not None and not isinstance(entry, dict):
            reader.document.problem(path, f"must be a mapping, is {in_short(entry)}")
            continue
        values = reader.by_name(path, entry or {})
        values.pop("name", None)
        ready = _codes(reader, path, values)
        if "attributes" in values:
            field = (*path, "attributes")
            ready["attributes"] = reader.distinct(field, values.pop("attributes"))
        event_type = reader.build(EventType, path, values, name=name, **ready)
        if not isinstance(event_type, EventType):
            continue
        if event_type.at_most is not None and event_type.at_most < 1:
            reader.document.problem((*path, "at_most"), "must be at least 1")
        for attribute in event_type.attributes:
            if attribute not in attributes:
                reader.document.problem(
                    (*path, "attributes"),
                    f"no attribute named {attribute!r} under events.attributes",
                )
        types[name] = event_type
    return types


def _codes(reader: ColumnReader, path: Path_, values: dict[str, Any]) -> dict[str, Any]:
    """The codes among the values, which go from there."""
    if "codes_from" in values:
        if "codes" in values:
            reader.document.problem(path, "says codes and codes_from: leave one of them out")
            values.pop("codes")
        name = values.pop("codes_from")
        listing = reader.named((*path, "codes_from"), name, code_relations.categories)
        return {"codes": tuple(listing or ())}
    if "codes" in values:
        return {"codes": reader.labels((*path, "codes"), values.pop("codes"))}
    return {}
