"""Contribution caps: the first of each patient, and nothing that hangs in the air."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import polars as pl

from pipeline.adapters.frames import ABOVE_AT_MOST, ABOVE_MAX_EVENTS
from pipeline.restricted.ingest import caps
from pipeline.restricted.ingest.account import CAPPED, UNDER_CAPPED, Account
from pipeline.schema.values import Column, EventLog, EventType, Schema, Table

TYPES = {
    "A": EventType(name="A", at_most=2),
    "OPEN": EventType(name="OPEN", at_most=1),
    "IN": EventType(name="IN", inside="OPEN"),
    "END": EventType(name="END", terminal=True, at_most=1),
}


def log(max_events: int) -> EventLog:
    return EventLog(
        origin="o",
        anchor=None,
        max_events=max_events,
        first=("A",),
        types=MappingProxyType(TYPES),
        attributes=MappingProxyType({}),
    )


def events(*patients: str) -> pl.DataFrame:
    """One letter per event: A, O (opens), I (inside), E (ends)."""
    names = {"A": "A", "O": "OPEN", "I": "IN", "E": "END"}
    rows = [
        (patient, seq, seq, names[letter], None)
        for patient, letters in enumerate(patients)
        for seq, letter in enumerate(letters)
    ]
    return pl.DataFrame(
        rows,
        {
            "patient_id": pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
        },
        orient="row",
    )


def letters(frame: pl.DataFrame) -> list[str]:
    short = {"A": "A", "OPEN": "O", "IN": "I", "END": "E"}
    return [
        "".join(short[kind] for kind in group)
        for group in frame.group_by("patient_id", maintain_order=True).agg("type")["type"].to_list()
    ]


def test_more_than_at_most_of_a_type_is_cut_with_what_lies_inside() -> None:
    capped, cut = caps.cap_events(log(99), events("AAAE", "OIIOIE", "OIAIE"))
    assert letters(capped) == ["AAE", "OIIE", "OIAIE"]
    assert sorted(cut.rows()) == [
        (0, ABOVE_AT_MOST, 1),
        (1, ABOVE_AT_MOST, 1),
        (1, caps.INSIDE, 1),
    ]
    assert capped["seq"].to_list() == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]


def test_the_end_is_kept_whatever_the_length() -> None:
    capped, cut = caps.cap_events(log(3), events("OIIIIE", "OE"))
    assert letters(capped) == ["OIE", "OE"]
    assert cut.rows() == [(0, ABOVE_MAX_EVENTS, 3)]


def test_rows_above_the_cap_take_their_children_with_them() -> None:
    key, day = Column(name="key", kind="id", role="key"), Column(name="day", kind="date")
    parent = Table(
        name="parent",
        file="p",
        key=("key",),
        patient="id",
        max_rows=1,
        columns=MappingProxyType({"key": key, "day": day}),
    )
    child = Table(
        name="child", file="c", through=("parent", "key"), columns=MappingProxyType({"key": key})
    )
    schema = Schema(
        dataset="d",
        title="",
        source="",
        public=True,
        layout="registry",
        population=None,
        events=None,
        implications=(),
        targets=(),  # type: ignore[arg-type]
        quasi_identifiers=(),
        strata=(),
        patients=MappingProxyType({}),
        tables=MappingProxyType({"parent": parent, "child": child}),
    )
    rows = pl.DataFrame({"patient_id": [1, 1, 2], "_row": [0, 1, 2], "key": [7, 8, 8]})
    tables = {
        "parent": rows.with_columns(
            pl.Series("day", [date(2016, 2, 1), date(2016, 1, 1), date(2016, 3, 1)])
        ),
        "child": rows,
    }
    lost = Account()
    capped = caps.cap_rows(schema, tables, lost)
    # the earlier of patient 1, and all of patient 2, who shares a key
    assert capped["parent"]["_row"].to_list() == [1, 2]
    assert capped["child"]["_row"].to_list() == [1, 2]
    assert lost.rows_left_out == {("parent", CAPPED): 1, ("child", UNDER_CAPPED): 1}
