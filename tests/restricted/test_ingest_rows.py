"""Dirt in rows is repaired or drops its own patient, and is counted."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from ingest_cases import (
    CREDIT_COLUMNS,
    HEART,
    Bench,
    credit_row,
    heart_row,
    participant,
    visit,
    write_cohort,
    write_csv,
)

from pipeline.adapters.frames import ABOVE_MAX_EVENTS
from pipeline.restricted.ingest import account


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SEX": "3"}, "clients.SEX: unknown category"),
        ({"SEX": ""}, "clients.SEX: missing value"),
        ({"AGE": "17"}, "clients.AGE: out of bounds"),
        ({"AGE": "young"}, "clients.AGE: does not parse"),
        ({"AGE": "inf"}, "clients.AGE: does not parse"),
        ({"AGE": "NA"}, "clients.AGE: missing value"),
        ({"SEX": "2" * 100_001}, "clients.SEX: cell too long"),
        ({"SEX": '"2'}, "clients.row ends inside a quoted cell"),
        ({"SEX": "2,2"}, "clients.row does not parse"),
    ],
)
def test_a_fault_drops_its_patient_only(
    bench: Bench, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    source = write_csv(
        tmp_path / "uci_credit_card.csv",
        CREDIT_COLUMNS,
        credit_row(1),
        credit_row(2, **changes),
        credit_row(3),
    )
    done = bench.ingest("credit_default", source)
    assert done.patients["patient_id"].to_list() == [1, 3]
    assert done.report["dropped_patients_by_reason"] == {reason: 1}
    assert done.table("clients")["ID"].to_list() == [1, 3]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SEX": " 2 "}, "2"),
        ({"SEX": "2.0"}, "2"),
        ({"SEX": '"2"'}, "2"),
        ({"EDUCATION": "0"}, None),
        ({"EDUCATION": "NA"}, None),
        ({"AGE": "24.0"}, 24),
        ({"AGE": "2.4e1"}, 24),
        ({"AGE": "23.6"}, 24),
        ({"BILL_AMT1": "-0.2"}, 0),
        ({"ID": "1.0"}, 1),
        ({"SEX": "2\u00a0"}, "2"),
    ],
)
def test_a_repair_keeps_its_patient(
    bench: Bench, tmp_path: Path, changes: dict[str, str], expected: object
) -> None:
    (column,) = changes
    done = bench.ingest(
        "credit_default",
        write_csv(tmp_path / "uci_credit_card.csv", CREDIT_COLUMNS, credit_row(1, **changes)),
    )
    assert done.table("clients")[column].to_list() == [expected]
    assert done.report["patients"]["kept"] == 1


def test_orphan_rows_are_left_out_and_counted(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "uci_credit_card.csv",
        CREDIT_COLUMNS,
        credit_row(""),
        credit_row("x"),
        credit_row(1),
    )
    done = bench.ingest("credit_default", source)
    assert done.patients["patient_id"].to_list() == [1]
    assert done.report["tables"]["clients"]["left_out"] == {account.ORPHANS: 2}


def test_an_equal_row_counts_once_and_a_contradicting_one_drops_the_patient(
    bench: Bench, tmp_path: Path
) -> None:
    rows = [credit_row(1), credit_row(1), credit_row(2), credit_row(2, AGE="50"), credit_row(3)]
    done = bench.ingest(
        "credit_default", write_csv(tmp_path / "uci_credit_card.csv", CREDIT_COLUMNS, *rows)
    )
    assert done.patients["patient_id"].to_list() == [1, 3]
    assert done.report["tables"]["clients"]["left_out"] == {
        account.EQUAL: 1,
        account.OF_DROPPED: 2,
    }
    assert done.report["dropped_patients_by_reason"] == {"clients.ID: key used twice": 1}


def test_latin1_and_utf8_lines_stand_side_by_side(bench: Bench, tmp_path: Path) -> None:
    """The encoding is decided line by line: one patient's latin-1 must not turn another's UTF-8
    into nonsense.
    """
    cells = pl.DataFrame([[1, "Zoë"], [2, "Zoë"], [3, "Zoe"]], schema=["id", "name"], orient="row")
    lines = [
        f"{n},{name}".encode("utf-8" if n != 2 else "latin-1") for n, name in cells.iter_rows()
    ]
    from pipeline.restricted.ingest import csv_lines

    parsed = csv_lines.parse(
        b"\n".join(lines) + b"\n", csv_lines.Header(("id", "name"), 0, longest=1000)
    )
    assert sorted(parsed.cells["c1"].to_list()) == ["Zoe", "Zoë", "Zoë"]
    assert parsed.n_latin1 == 1


def test_gzip_parquet_and_csv_give_the_same(bench: Bench, tmp_path: Path) -> None:
    rows = [credit_row(n, AGE=str(18 + n), BILL_AMT1="-5") for n in range(1, 40)]
    plain = write_csv(tmp_path / "a" / "uci_credit_card.csv", CREDIT_COLUMNS, *rows)
    packed = tmp_path / "b" / "uci_credit_card.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes().replace(b"\n", b"\r\n")))
    columns = tmp_path / "c" / "Data" / "uci_credit_card.parquet"
    columns.parent.mkdir(parents=True)
    pl.read_csv(plain).with_columns(pl.col("AGE").cast(pl.Float64)).write_parquet(columns)
    first, second, third = (
        bench.ingest("credit_default", path)
        for path in (plain.parent, packed, columns.parent.parent)
    )
    assert first.patients.equals(second.patients)
    assert first.patients.equals(third.patients)
    assert first.table("clients").equals(third.table("clients"))


def test_parquet_dates_and_codes_are_read_as_text_is(bench: Bench, tmp_path: Path) -> None:
    source = write_cohort(
        tmp_path / "s",
        [participant(1)],
        [visit(1, "2012-01-10", "Enrollment"), visit(1, "2012-03-01")],
    )
    expected = bench.ingest("uganda_malaria", source).events
    visits = pl.read_csv(source / "PRISM_visits_cleaned.csv")
    visits = visits.with_columns(
        pl.col("date").str.to_date().cast(pl.Datetime), pl.col("visittype").cast(pl.Categorical)
    )
    (source / "PRISM_visits_cleaned.csv").unlink()
    visits.write_parquet(source / "PRISM_visits_cleaned.parquet")
    assert bench.ingest("uganda_malaria", source).events.equals(expected)


def test_aliases_and_headers_in_any_case(bench: Bench, tmp_path: Path) -> None:
    header = tuple(
        {"trtbps": "TRESTBPS", "output": "target"}.get(name, name.upper()) for name in HEART
    )
    done = bench.ingest("uci_heart", write_csv(tmp_path / "mine.csv", header, heart_row()))
    assert done.table("heart")["trtbps"].to_list() == [145]


def test_a_pathway_from_two_files_that_were_shifted_apart(bench: Bench, tmp_path: Path) -> None:
    visits = [
        visit(1, "2012-01-17", "Enrollment"),
        visit(1, "2012-01-14", "Unscheduled visit"),
        visit(1, "2013-01-20"),
        visit(1, "2012-02-17", fever="Yes"),
    ]
    done = bench.ingest(
        "uganda_malaria",
        write_cohort(tmp_path / "s", [participant(1, "2012-01-10", "2013-01-11")], visits),
    )
    events = done.of("events", 1)
    assert events["type"].to_list() == [
        "Enrollment",
        "Unscheduled visit",
        "Scheduled visit",
        "Scheduled visit",
        "End of follow-up",
    ]
    assert events["day"].to_list() == [0, 0, 31, 369, 369]
    assert done.table("participants")["last_date_observed"].to_list() == [date(2013, 1, 13)]
    assert done.report["tables"]["visits"]["repaired"]["date"] == {
        "align_to_origin": 4,
        "not_before_origin": 1,
    }


def test_a_child_row_drops_its_patient_and_an_orphan_nobody(bench: Bench, tmp_path: Path) -> None:
    people = [participant(1), participant(2), participant(3)]
    visits = [visit(n, "2012-01-10", "Enrollment") for n in (1, 2, 3, 9)] + [visit(2, "2012-02-30")]
    done = bench.ingest("uganda_malaria", write_cohort(tmp_path / "s", people, visits))
    assert done.patients["patient_id"].to_list() == [1, 3]
    assert done.report["dropped_patients_by_reason"] == {
        "visits.date: does not parse": 1,
        "visits: patient not in the patient table": 1,
    }


def test_caps_keep_the_first_events_and_the_end(bench: Bench, tmp_path: Path) -> None:
    days = [
        date.fromordinal(date(2012, 1, 10).toordinal() + 7 * n).isoformat() for n in range(1, 200)
    ]
    visits = [
        visit(1, "2012-01-10", "Enrollment"),
        *(visit(1, day, "Unscheduled visit") for day in reversed(days)),
    ]
    done = bench.ingest(
        "uganda_malaria", write_cohort(tmp_path / "s", [participant(1, last="2016-01-10")], visits)
    )
    events = done.of("events", 1)
    assert events.height == 150
    assert events["type"].to_list()[-1] == "End of follow-up"
    assert events["day"].to_list()[:148] == [7 * n for n in range(148)]
    assert done.report["tables"]["visits"]["left_out"] == {account.CAPPED: 50}
    assert done.report["events"]["left_out"] == {ABOVE_MAX_EVENTS: 1}


def test_an_illegal_pathway_drops_its_patient(bench: Bench, tmp_path: Path) -> None:
    source = write_cohort(
        tmp_path / "s",
        [participant(1), participant(2)],
        [visit(1, "2012-01-10", "Enrollment"), visit(2, "2012-02-01")],
    )
    done = bench.ingest("uganda_malaria", source)
    assert done.patients["patient_id"].to_list() == [1]
    assert any(
        reason.startswith("pathway: ") for reason in done.report["dropped_patients_by_reason"]
    )


def test_a_cell_of_100_megabytes_drops_its_patient(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "uci_credit_card.csv"
    first, last = (",".join(credit_row(n)).encode() + b"\n" for n in (1, 3))
    before, after = (
        b",".join(part)
        for part in ([b"2", b"20000"], [cell.encode() for cell in credit_row(2)[3:]])
    )
    with source.open("wb") as file:
        file.write(",".join(CREDIT_COLUMNS).encode() + b"\n" + first + before + b",")
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"," + after + b"\n" + last)
    done = bench.ingest("credit_default", source)
    assert done.patients["patient_id"].to_list() == [1, 3]
    assert done.report["dropped_patients_by_reason"] == {"clients.row too long": 1}
