"""What is wrong with an event log by itself."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.schema.document import Path_
from pipeline.schema.fields import FieldReader
from pipeline.schema.values import Column, EventLog

_PATH: Path_ = ("events",)


def check_events(reader: FieldReader, log: EventLog, columns: Mapping[str, Column]) -> None:
    """Notes what contradicts itself, and names that nothing has."""
    for name in set(log.attributes) & set(log.types):
        reader.document.problem(
            (*_PATH, "attributes", name),
            "is the name of an event type, too: facts could not tell them apart",
        )
    for name in set(log.attributes) & set(columns):
        if log.attributes[name].kind != columns[name].kind:
            reader.document.problem(
                (*_PATH, "attributes", name),
                "is the name of a static column of another kind: counted tables and prompts could"
                " not tell them apart",
            )
    if log.origin is None:
        if reader.document.value.get("layout") != "log":
            reader.document.problem((*_PATH, "origin"), "may be null in layout log only")
    elif log.origin not in columns or columns[log.origin].kind != "date":
        reader.document.problem(
            (*_PATH, "origin"),
            f"{log.origin!r} must be a static column of kind date; null where all times are told"
            " from day 0",
        )
    elif columns[log.origin].nullable:
        reader.document.warn(
            (*_PATH, "origin"), f"whoever has no {log.origin} is dropped: there is no day 0"
        )
    if not log.terminal:
        reader.document.problem(
            (*_PATH, "types"), "no type is terminal: every pathway needs an end"
        )
    _check_names(reader, log)
    _check_likeness(reader, log, columns)
    _check_numbers(reader, log)
    unused = set(log.attributes) - {a for kind in log.types.values() for a in kind.attributes}
    for name in sorted(unused):
        reader.document.warn(
            (*_PATH, "attributes", name), "no type of event has it: name it there, or drop it"
        )


def _check_likeness(reader: FieldReader, log: EventLog, columns: Mapping[str, Column]) -> None:
    """A type that is like a static column has no code that the column lacks."""
    for name, kind in log.types.items():
        if kind.like is None:
            continue
        column = columns.get(kind.like)
        if (
            column is None
            or not column.is_modelled
            or not set(kind.codes) <= set(column.categories)
        ):
            reader.document.problem(
                (*_PATH, "types", name, "like"),
                f"{kind.like!r} must be a static column that is modelled and has every code of"
                f" {name} among its values",
            )


def _check_names(reader: FieldReader, log: EventLog) -> None:
    named = {
        "first": log.first,
        "treatments": log.treatments,
        "anchor": (log.anchor,) if log.anchor else (),
        "exclusions": tuple(n for e in log.exclusions for n in e.types),
        "deadlines": tuple(n for d in log.deadlines for n in (d.event, *d.after)),
        "windows": tuple(n for w in log.windows for n in (w.event, *w.since)),
        "types": tuple(n for t in log.types.values() for n in (t.inside, t.closes) if n),
    }
    for field, names in named.items():
        for name in names:
            if name not in log.types:
                reader.document.problem((*_PATH, field), f"no event type named {name!r}")
    for name, kind in log.types.items():
        if name in (kind.inside, kind.closes):
            reader.document.problem(
                (*_PATH, "types", name), "is inside of itself or closes itself: it could not begin"
            )
    ends = {*log.terminal, *(code for name in log.terminal for code in log.types[name].codes)}
    for name in log.censoring:
        if name not in ends:
            reader.document.problem(
                (*_PATH, "censoring"), f"{name!r} is no terminal type and no code of one"
            )
    if log.observation_end is not None:
        kind_name, code = log.observation_end if len(log.observation_end) == 2 else ("", "")
        if kind_name not in log.terminal or code not in log.types[kind_name].codes:
            reader.document.problem(
                (*_PATH, "observation_end"), "must be [type, code] of a terminal type"
            )


def _check_numbers(reader: FieldReader, log: EventLog) -> None:
    if list(log.gap_edges) != sorted(set(log.gap_edges)) or log.gap_edges[:1] != (0,):
        reader.document.problem((*_PATH, "gap_edges"), "must ascend from 0")
    if log.max_events < 2:
        reader.document.problem((*_PATH, "max_events"), f"must be at least 2, is {log.max_events}")
    if not log.lower_day <= 0 <= log.upper_day:
        reader.document.problem(
            (*_PATH, "upper_day"),
            f"day 0 must lie between lower_day {log.lower_day} and upper_day {log.upper_day}",
        )
