"""Nothing leaves ingest uncounted, and nobody's rows cost another's or the run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from ingest_cases import CREDIT_COLUMNS, Bench, Ingested, credit_row, write_csv

from pipeline import adapters
from pipeline.adapters import row_events
from pipeline.adapters.frames import ABOVE_AT_MOST, ABOVE_MAX_EVENTS
from pipeline.evaluation import pathways
from pipeline.restricted.ingest import account, batches, owners
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

LOG = """
dataset: visits
title: Visits
source: tests
public: true
layout: log
population: {name: visits, universe: nobody, kind: public, nominal_size: 1000, epsilon: 5.0,
  delta: 1.0e-6, ceiling_epsilon: 5.0}
tables:
  people:
    file: people
    key: [id]
    patient: id
    columns:
      id: {kind: id, role: key, integer: true}
      joined: {kind: date, lower: 2010-01-01, upper: 2020-12-31, source: tests}
      left: {kind: date, lower: 2010-01-01, upper: 2030-12-31, source: tests}
      why: {kind: categorical, categories: [died, moved], source: tests}
  visits:
    file: visits
    patient: id
    columns:
      id: {kind: id, role: key, integer: true}
      on: {kind: date, lower: 2005-01-01, upper: 2030-12-31, nullable: true, source: tests}
      what: {kind: categorical, categories: [START, CHECK, RARE, OTHER, END], source: tests}
patients: {columns: {joined: {like: people.joined}}}
events:
  origin: joined
  anchor: null
  max_events: 5
  first: [START]
  upper_day: 1000
  rows: {table: visits, date: "on", type: what}
  ending: {table: people, date: left, constant: END, code: why}
  types:
    START: {at_most: 1}
    CHECK: {}
    RARE: {at_most: 1}
    END: {terminal: true, codes: [died, moved]}
  censoring: [moved]
"""


def schema(folder: Path, text: str = LOG) -> Schema:
    path = folder / "visits.yaml"
    path.write_text(text)
    return read_schema(path)


def ingested(
    bench: Bench, folder: Path, visits: list[tuple[str, str]], left: str = "2012-01-01"
) -> Ingested:
    """One patient, joined on 2011-01-01, who died at the end."""
    source = folder / "source"
    write_csv(
        source / "people.csv", ("id", "joined", "left", "why"), ("1", "2011-01-01", left, "died")
    )
    rows = [("1", day, kind) for day, kind in [("2011-01-01", "START"), *visits]]
    write_csv(source / "visits.csv", ("id", "on", "what"), *rows)
    return bench.ingest(schema(folder), source)


@pytest.mark.parametrize(
    ("visit", "reason"),
    [
        (("2010-12-31", "CHECK"), row_events.BEFORE),
        (("2011-06-01", "OTHER"), row_events.OTHER_TYPE),
        (("2011-06-01", "END"), row_events.OTHER_END),
        (("", "CHECK"), row_events.NO_DATE),
        (("2012-06-01", "CHECK"), row_events.AFTER_END),
        (("2025-06-01", "CHECK"), row_events.AFTER),
        (("2011-06-02", "START"), ABOVE_AT_MOST),
    ],
)
def test_a_row_that_is_no_event_is_counted(
    bench: Bench, tmp_path: Path, visit: tuple[str, str], reason: str
) -> None:
    done = ingested(bench, tmp_path, [("2011-02-01", "CHECK"), visit])
    assert done.events["type"].to_list() == ["START", "CHECK", "END"]
    assert done.report["events"]["kept"] == 2
    assert done.report["events"]["left_out"] == {reason: 1}


def test_events_above_the_cap_are_counted(bench: Bench, tmp_path: Path) -> None:
    visits = [(f"2011-02-{day:02}", "CHECK") for day in range(1, 11)]
    done = ingested(bench, tmp_path, visits)
    assert done.events.height == 5
    assert done.report["events"]["left_out"] == {ABOVE_MAX_EVENTS: 7}


def test_who_dies_after_the_last_day_is_censored_there(bench: Bench, tmp_path: Path) -> None:
    done = ingested(bench, tmp_path, [], left="2016-01-01")
    assert done.events.select("day", "type", "code").rows()[-1] == (1000, "END", "moved")
    assert done.report["events"]["ends_moved"] == {"end after the last day, censored there": 1}
    within = ingested(bench, tmp_path, [], left="2013-01-01")
    assert within.events.select("day", "type", "code").rows()[-1] == (731, "END", "died")


def test_survival_takes_for_deaths_what_is_not_censoring(bench: Bench, tmp_path: Path) -> None:
    declaration = schema(tmp_path)
    done = ingested(bench, tmp_path, [])
    assert declaration.events is not None
    sample = PatientLog(done.patients, done.events)
    assert pathways.survival(sample, declaration.events, None)["died"].to_list() == [True]
    moved = PatientLog(done.patients, done.events.with_columns(code=pl.lit("moved")))
    assert pathways.survival(moved, declaration.events, None)["died"].to_list() == [False]


def test_ends_that_are_rows_balance_too(bench: Bench, tmp_path: Path) -> None:
    text = (
        LOG.replace(
            "ending: {table: people, date: left, constant: END, code: why}",
            'ending: {table: visits, date: "on", type: what}',
        )
        .replace("END: {terminal: true, codes: [died, moved]}", "END: {terminal: true}")
        .replace("censoring: [moved]", "")
        .replace("left: {kind", "left: {role: carried, kind")
        .replace("why: {kind", "why: {role: carried, kind")
    )
    source = tmp_path / "source"
    write_csv(
        source / "people.csv",
        ("id", "joined", "left", "why"),
        ("1", "2011-01-01", "2012-01-01", "died"),
    )
    days = [("2011-01-01", "START"), ("2011-05-01", "END"), ("2011-06-01", "END")]
    rows = [("1", day, kind) for day, kind in days]
    write_csv(source / "visits.csv", ("id", "on", "what"), *rows)
    done = bench.ingest(schema(tmp_path, text), source)
    assert done.events["day"].to_list() == [0, 151]
    assert done.report["events"]["left_out"] == {row_events.FURTHER_END: 1}


def test_equal_rows_of_a_table_without_a_key_count_once(bench: Bench, tmp_path: Path) -> None:
    done = ingested(bench, tmp_path, [("2011-02-01", "CHECK")] * 2)
    assert done.events["type"].to_list() == ["START", "CHECK", "END"]
    assert done.report["tables"]["visits"]["left_out"] == {account.EQUAL: 1}


def test_equal_rows_are_people_where_a_row_is_a_person(bench: Bench, tmp_path: Path) -> None:
    from ingest_cases import HEART, heart_row

    source = write_csv(tmp_path / "heart_kaggle_303.csv", HEART, heart_row(), heart_row())
    assert bench.ingest("uci_heart", source).patients.height == 2


def test_one_patients_rows_cannot_fill_the_memory(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has more rows than anybody has is dropped before the rows are read together."""
    heights: list[int] = []
    bucket = owners.Owned.bucket

    def watched(owned: owners.Owned, name: str, number: int) -> pl.DataFrame:
        rows = bucket(owned, name, number)
        heights.append(rows.height)
        return rows

    monkeypatch.setattr(owners.Owned, "bucket", watched)
    rows = [credit_row(7, AGE=str(age)) for age in range(20, 24)]
    source = write_csv(tmp_path / "uci_credit_card.csv", CREDIT_COLUMNS, *rows, credit_row(8))
    done = bench.ingest("credit_default", source, max_patient_rows=3)
    assert done.patients["patient_id"].to_list() == [8]
    assert max(heights) == 1
    assert done.report["tables"]["clients"]["left_out"] == {account.TOO_MANY: 4}
    assert done.report["patients"]["read"] == 2


def test_rows_that_raise_cost_their_patient_only(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort, for what nobody foresaw: the patients are halved."""
    to_log = adapters.to_log

    def raising(declaration: Schema, tables: dict[str, pl.DataFrame]) -> adapters.SourceLog:
        if tables["clients"]["AGE"].is_in([66]).any():
            raise pl.exceptions.PanicException("value 66 at row 5")
        return to_log(declaration, tables)

    monkeypatch.setattr(adapters, "to_log", raising)
    rows = [credit_row(n, AGE="66" if n == 5 else "30") for n in range(1, 9)]
    source = write_csv(tmp_path / "uci_credit_card.csv", CREDIT_COLUMNS, *rows)
    done = bench.ingest("credit_default", source)
    assert done.patients["patient_id"].to_list() == [1, 2, 3, 4, 6, 7, 8]
    reason = f"{batches.CANNOT_HANDLE} (PanicException)"
    assert done.report["dropped_patients_by_reason"] == {reason: 1}


def test_the_account_says_so_where_a_row_is_not_accounted_for() -> None:
    books = account.Account()
    books.rows_read["a"], books.rows_kept["a"] = 5, 4
    assert books.out_of_balance(None) == ["a"]
    books.leave_out("a", account.ORPHANS, 1)
    assert books.out_of_balance(None) == []
    books.events_kept = 3
    assert books.out_of_balance("a") == ["a (events)"]
