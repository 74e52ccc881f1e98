"""Reads where a log finds its events: `events.rows` and `events.ending`, one mapping or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.schema.document import Path_
from pipeline.schema.event_source import UNITS, EventSource
from pipeline.schema.fields import FieldReader
from pipeline.schema.names import within
from pipeline.schema.value_types import in_short
from pipeline.schema.values import freeze

_COLUMNS = ("date", "day", "type", "status", "code", "until", "duration")


def read_sources(reader: FieldReader, path: Path_, value: Any) -> tuple[EventSource, ...]:
    """One mapping or a list of them; what is no source is noted and left out."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        source = _source(reader, path, value)
        return () if source is None else (source,)
    if not isinstance(value, list) or not value:
        reader.document.problem(
            path, f"must be a mapping, or a list of mappings, is {in_short(value)}"
        )
        return ()
    sources = [_source(reader, entry_path, entry) for entry_path, entry in reader.entries(path)]
    return tuple(source for source in sources if source is not None)


def source_path(reader: FieldReader, field: str, place: int) -> Path_:
    """Where the declaration says the source of this place: whether in a list, or alone."""
    value = reader.document.value["events"].get(field)
    return ("events", field, place) if isinstance(value, list) else ("events", field)


def _source(reader: FieldReader, path: Path_, entry: Mapping[Any, Any]) -> EventSource | None:
    values = reader.by_name(path, entry)
    ready: dict[str, Any] = {}
    if values.get("codes") is not None:
        ready["codes"] = _types_by_value(reader, (*path, "codes"), values["codes"])
    rest = {name: value for name, value in values.items() if name not in ready}
    source = reader.build(EventSource, path, rest, **ready)
    if not isinstance(source, EventSource):
        return None
    _check_form(reader, path, source, values)
    spellings: dict[str, Any] = {
        name: within(column) for name in _COLUMNS if (column := getattr(source, name)) is not None
    }
    return replace(source, **spellings)


def _types_by_value(reader: FieldReader, path: Path_, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not value:
        reader.document.problem(
            path, f'must be a mapping such as {{"1": DEATH, "0": END}}, is {in_short(value)}'
        )
        return freeze({})
    types = reader.by_name(path, value)
    for key, name in types.items():
        if not isinstance(name, str):
            reader.document.problem(
                (*path, key), f"must name a type of event, is {in_short(name)}: put it in quotes"
            )
    return freeze({key: name for key, name in types.items() if isinstance(name, str)})


def _check_form(
    reader: FieldReader, path: Path_, source: EventSource, values: Mapping[str, Any]
) -> None:
    """Fields that contradict or need each other."""
    problem = reader.document.problem
    ways = (source.type, source.constant, source.status or source.codes)
    if sum(way is not None for way in ways) != 1:
        problem(
            path,
            "names the type of its events by `type` or by `constant`, or by `status` and `codes`:"
            " one of them",
        )
    if (source.status is None) != (source.codes is None):
        problem(path, "`status` and `codes` go together: what each value of the column means")
    if source.date is not None and source.day is not None:
        problem(path, "says `date` and `day`: leave one of them out")
    if source.until is not None and source.duration is not None:
        problem(path, "says `until` and `duration`: leave one of them out")
    if (source.stop is None) != (source.closes is None):
        problem(
            path,
            "an interval has an end, `until` or `duration`, and `closes` names the type of event"
            " that this end is: say both",
        )
    if source.stop is not None and (source.time is None or source.constant is None):
        problem(path, "an interval begins on a `date` or `day`, as an event of type `constant`")
    if source.unit not in UNITS:
        problem((*path, "unit"), f"{in_short(source.unit)} is none of {', '.join(UNITS)}")
    if "unit" in values and source.day is None and source.duration is None:
        problem((*path, "unit"), "belongs to `day` or `duration`")
