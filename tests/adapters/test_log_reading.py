"""What the rows of a log say, and what of them is left out or moved, and counted."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from log_cases import DATES, ENDLESS, ENDS_APART, MONTHS, WIDE, declared
from polars.testing import assert_frame_equal

from pipeline.adapters import canonical, intervals, row_events, to_log, to_tables
from pipeline.adapters.frames import ABOVE_AT_MOST, SourceLog
from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

Tables = dict[str, pl.DataFrame]
BORN = date(1955, 1, 1)


def frame(schema: Schema, table: str, *rows: tuple[object, ...]) -> pl.DataFrame:
    kinds = {
        name: {"id": pl.Int64, "continuous": pl.Float64 if column.decimals else pl.Int64}.get(
            column.kind, pl.Date if column.kind == "date" else pl.String
        )
        for name, column in schema.tables[table].columns.items()
    }
    return pl.DataFrame(rows, schema=kinds, orient="row")


def told(source: SourceLog, *columns: str) -> list[tuple[object, ...]]:
    return source.log.pathways.select(columns or ("day", "type", "code")).rows()


def losses(frame_: pl.DataFrame) -> dict[str, int]:
    return dict(frame_.select("reason", "n").rows())


def months(folder: Path, **rows: list[tuple[object, ...]]) -> tuple[Schema, Tables]:
    schema = declared(folder, MONTHS)
    given = {"people": [(1, "F", 10, 12, "dead")]} | rows
    return schema, {name: frame(schema, name, *given.get(name, [])) for name in schema.tables}


def read(schema: Schema, tables: Tables) -> SourceLog:
    """The log, which gives its tables back."""
    source = to_log(schema, tables)
    assert violations(Grammar(schema), source.log.patients, source.log.pathways).is_empty()
    again = to_tables(schema, source.log, extract_date=None, carried=source.carried)
    for name, rows in tables.items():
        assert_frame_equal(again[name], rows)
    n_kept = source.log.pathways.height - source.log.patients.height
    assert row_events.n_found(schema, tables) == n_kept + source.left_out["n"].sum()
    return source


def test_months_undated_rows_and_intervals_are_days(tmp_path: Path) -> None:
    schema, tables = months(
        tmp_path,
        comorbidities=[(1, "gout"), (1, "asthma")],
        diagnoses=[(1, -2, "C50"), (1, 8, "C61")],
        treatments=[(1, "B", 0, 2, 7, "toxic"), (1, "A", 8, None, None, None)],
    )
    source = read(schema, tables)
    assert told(source, "day", "type", "code", "dose", "reason") == [
        (-61, "FOUND", "C50", None, None),
        (0, "ILL", "asthma", None, None),
        (0, "ILL", "gout", None, None),
        (0, "DRUG", "B", 7, None),
        (61, "STOP", None, None, "toxic"),
        (244, "FOUND", "C61", None, None),
        (244, "DRUG", "A", None, None),
        (304, "DEAD", None, None, None),
    ]
    assert source.left_out.is_empty() and source.moved.is_empty()


@pytest.mark.parametrize(
    ("death", "contact", "vital", "end"),
    [
        (10, 12, "dead", (304, "DEAD")),  # a death counts before the last contact
        (None, 12, "dead", (365, "DEAD")),
        (None, 12, "alive", (365, "SEEN")),
        (None, 12, "lost", (365, "LOST")),
        (20, None, "alive", (609, "DEAD")),
    ],
)
def test_the_first_end_that_is_filled_counts(
    tmp_path: Path, death: int | None, contact: int | None, vital: str, end: tuple[int, str]
) -> None:
    schema, tables = months(tmp_path, people=[(1, "F", death, contact, vital)])
    source = read(schema, tables)
    assert told(source, "day", "type") == [end]
    fresh = to_tables(schema, source.log, extract_date=None)["people"]
    filled = fresh.select("death", "contact").row(0)
    is_dead = end[1] == "DEAD"  # a synthetic death has a time of death
    assert [value is not None for value in filled] == [is_dead, not is_dead]


@pytest.mark.parametrize(
    ("treatments", "events", "lost", "moved"),
    [
        # the end before the start; without a start; after the end of the pathway
        ([("A", 4, 2)], [(122, "DRUG")], {intervals.STOP_BEFORE_START: 1}, {}),
        ([("A", 9, 11)], [(274, "DRUG")], {row_events.AFTER_END: 1}, {}),
        (
            [("A", 11, 12)],
            [],
            {row_events.AFTER_END: 1, intervals.WITHOUT_START: 1},
            {},
        ),
        # ends are declared before starts: an interval of no length has no end
        ([("A", 4, 4)], [(122, "DRUG")], {intervals.STOP_BEFORE_START: 1}, {}),
        # one begins where the other ends
        (
            [("A", 1, 3), ("B", 3, 5)],
            [(30, "DRUG"), (91, "STOP"), (91, "DRUG"), (152, "STOP")],
            {},
            {},
        ),
        # an overlap: the next ends the one before
        (
            [("A", 1, 4), ("B", 3, 5)],
            [(30, "DRUG"), (91, "STOP"), (91, "DRUG"), (152, "STOP")],
            {},
            {intervals.MOVED: 1},
        ),
        # two begin at once: the first of them has no end
        (
            [("A", 1, 4), ("B", 1, 5)],
            [(30, "DRUG"), (30, "DRUG"), (152, "STOP")],
            {intervals.NO_ROOM: 1},
            {},
        ),
    ],
)
def test_an_end_of_an_interval_that_has_no_place_is_counted(
    tmp_path: Path,
    treatments: list[tuple[str, int, int | None]],
    events: list[tuple[int, str]],
    lost: dict[str, int],
    moved: dict[str, int],
) -> None:
    rows: list[tuple[object, ...]] = [(1, *row, None, None) for row in treatments]
    schema, tables = months(tmp_path, treatments=rows)
    source = read(schema, tables)
    assert told(source, "day", "type") == [*events, (304, "DEAD")]
    assert losses(source.left_out) == lost and losses(source.moved) == moved


def test_what_goes_with_a_start_above_its_cap_is_counted(tmp_path: Path) -> None:
    schema = declared(tmp_path, MONTHS.replace("DRUG: {codes", "DRUG: {at_most: 1, codes"))
    _, tables = months(tmp_path)
    rows = [(1, "A", 1, None, None, None), (1, "B", 2, 3, None, None)]
    source = read(schema, tables | {"treatments": frame(schema, "treatments", *rows)})
    assert told(source, "day", "type") == [(30, "DRUG"), (304, "DEAD")]
    assert losses(source.left_out) == {ABOVE_AT_MOST: 1, row_events.START_CUT: 1}


def test_dates_before_the_origin_and_durations(tmp_path: Path) -> None:
    schema = declared(tmp_path, DATES)
    tables = {
        "people": frame(
            schema,
            "people",
            (1, "F", BORN, date(1956, 1, 1), date(1957, 1, 1), "y"),
            (2, "M", BORN, None, date(1957, 1, 1), None),
        ),
        "stays": frame(schema, "stays", (1, "N", date(1954, 12, 1), date(1955, 1, 31))),
        "courses": frame(schema, "courses", (1, BORN, 2), (2, BORN, None)),
    }
    source = read(schema, tables)
    assert told(source, "patient_id", "day", "type", "code", "ward") == [
        (1, -31, "IN", None, "N"),
        (1, 0, "COURSE", None, None),
        (1, 14, "COURSE_END", None, None),
        (1, 30, "OUT", None, None),
        (1, 365, "DIED", "y", None),
        (2, 0, "COURSE", None, None),
        (2, 731, "SEEN", None, None),
    ]
    fresh = to_tables(schema, source.log, extract_date=None)
    # a column that may not be missing holds the day of the end in any case
    assert fresh["people"].select("died", "seen").rows() == [
        (date(1956, 1, 1), date(1956, 1, 1)),
        (None, date(1957, 1, 1)),
    ]
    early = to_tables(schema, source.log, extract_date=date(1955, 1, 10))
    assert early["courses"].rows() == [(1, BORN, None), (2, BORN, None)]
    assert early["stays"].rows() == [(1, "N", date(1954, 12, 1), None)]


def test_one_row_per_patient_holds_several_events(tmp_path: Path) -> None:
    schema = declared(tmp_path, WIDE)
    people = frame(
        schema,
        "people",
        (1, "F", "low", 40, "1", -3, 50, 90, "0"),
        (2, "M", "high", 70, "0", None, None, 70, "1"),
    )
    source = read(schema, {"people": people})
    assert told(source, "patient_id", "day", "type", "code") == [
        (1, -3, "GRAFT", None),
        (1, 0, "FOUND", "low"),
        (1, 40, "RELAPSE", None),
        (1, 47, "GRAFT_LOST", None),
        (1, 90, "CENSORED", None),
        (2, 0, "FOUND", "high"),
        (2, 70, "DEATH", None),
    ]
    # who did not relapse has the day of the end there, and a status that says so
    assert_frame_equal(to_tables(schema, source.log, extract_date=None)["people"], people)


def test_an_end_beside_a_missing_start_is_counted(tmp_path: Path) -> None:
    schema = declared(tmp_path, WIDE)
    rows = frame(schema, "people", (1, "F", "low", 90, "0", None, 50, 90, "0"))
    text = WIDE.replace("duration: graft lost", "until: graft lost")
    for one in (schema, declared(tmp_path, text)):
        source = read(one, {"people": rows})
        assert told(source, "type") == [("FOUND",), ("CENSORED",)]
        assert losses(source.left_out) == {intervals.WITHOUT_START: 1}


def test_an_end_in_a_table_of_its_own_is_its_last_row(tmp_path: Path) -> None:
    schema = declared(tmp_path, ENDS_APART)
    tables = {
        "people": frame(schema, "people", (1, "F", "a")),
        "visits": frame(schema, "visits", (1, 5)),
        "follow_up": frame(schema, "follow_up", (1, 30, "alive"), (1, 90, "dead")),
    }
    source = to_log(schema, tables)
    assert told(source, "day", "type") == [(5, "VISIT"), (90, "DEATH")]
    assert losses(source.left_out) == {row_events.FURTHER_END: 1}
    assert row_events.n_found(schema, tables) == 3
    fresh = to_tables(schema, source.log, extract_date=None)
    assert fresh["follow_up"].rows() == [(1, 90, "dead")]


def test_without_an_end_a_pathway_ends_with_its_last_row(tmp_path: Path) -> None:
    schema = declared(tmp_path, ENDLESS)
    people = frame(schema, "people", (1, "F", "a"), (2, "M", "b"))
    source = to_log(schema, {"people": people, "visits": frame(schema, "visits", (1, 2, "CALL"))})
    assert told(source, "patient_id", "day", "type") == [
        (1, 14, "CALL"),
        (1, 14, "END"),
        (2, 0, "END"),
    ]


def test_an_end_of_what_is_not_open_is_left_out(tmp_path: Path) -> None:
    rows = declared(
        tmp_path,
        ENDLESS.replace("CALL: {}", "CALL: {closes: VISIT}"),
    )
    given = {
        "people": frame(rows, "people", (1, "F", "a")),
        "visits": frame(rows, "visits", (1, 1, "CALL"), (1, 2, "VISIT"), (1, 3, "CALL")),
    }
    source = to_log(rows, given)
    assert told(source, "day", "type") == [(14, "VISIT"), (21, "CALL"), (21, "END")]
    assert losses(source.left_out) == {row_events.NOTHING_OPEN: 1}


def test_nobody_elses_rows_change_a_patients_log(tmp_path: Path) -> None:
    schema, tables = months(
        tmp_path,
        people=[(n, "F", None, 12 + n, "alive") for n in (1, 2, 3)],
        comorbidities=[(2, "gout"), (1, "gout"), (3, "asthma")],
        treatments=[(n, "A", n, 9, None, None) for n in (3, 2, 1)]
        + [(2, "B", 4, 12, None, "toxic")],
    )
    whole = to_log(schema, tables)
    for patient in (1, 2, 3):
        part = {name: rows.filter(pl.col("id") == patient) for name, rows in tables.items()}
        alone = to_log(schema, part)
        assert_frame_equal(
            whole.log.pathways.filter(pl.col("patient_id") == patient), alone.log.pathways
        )
        assert_frame_equal(whole.left_out.filter(pl.col("patient_id") == patient), alone.left_out)
        drawn = PatientLog(whole.log.patients, whole.log.pathways)
        told_alone = canonical(schema, alone.log, extract_date=None).pathways
        told_together = canonical(schema, drawn, extract_date=None).pathways
        assert_frame_equal(told_together.filter(pl.col("patient_id") == patient), told_alone)


def test_rows_of_a_table_get_keys_of_their_own(tmp_path: Path) -> None:
    schema = declared(
        tmp_path,
        MONTHS.replace(
            "      month:",
            "      row: {kind: id, role: key, integer: true}\n      word: {kind: id, role: key}\n"
            "      month:",
        ),
    )
    events = pl.DataFrame(
        {
            "patient_id": [1, 1, 1, 2, 2],
            "seq": [0, 1, 2, 0, 1],
            "day": [0, 30, 61, 0, 30],
            "type": ["FOUND", "FOUND", "SEEN", "FOUND", "SEEN"],
            "code": ["C50", "C61", None, "C50", None],
            "dose": [None] * 5,
            "reason": [None] * 5,
        },
        schema_overrides={"dose": pl.Int64, "reason": pl.String},
    )
    patients = pl.DataFrame({"patient_id": [1, 2], "sex": ["F", "M"]})
    made = to_tables(schema, PatientLog(patients, events), extract_date=None)["diagnoses"]
    assert made.select("row", "word").rows() == [(101, "1-1"), (102, "1-2"), (201, "2-1")]


def test_a_model_carries_the_sources_and_reads_those_of_before(tmp_path: Path) -> None:
    schema = declared(tmp_path, MONTHS)
    assert schema_from_plain(to_plain(schema)) == schema
    plain = to_plain(declared(tmp_path, ENDLESS))
    (rows,) = plain["events"]["rows"]
    assert set(rows) == {"table", "date", "type", "constant", "code", "day", "unit"}
    old = {"table": "visits", "date": "week", "type": "kind", "constant": None, "code": None}
    plain["events"] |= {"rows": old, "ending": None, "origin": "start"}
    read_again = schema_from_plain(plain).events
    assert read_again is not None
    assert [(one.table, one.date, one.day) for one in read_again.rows] == [("visits", "week", None)]
    assert read_again.ending == ()
