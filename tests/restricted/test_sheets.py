"""Sheets of a workbook: a cell is what Excel shows of it, and nothing is lost without a word."""

from __future__ import annotations

import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from ingest_cases import Bench, participant, visit
from test_formats import HEADER, schema

from pipeline.refusal import Refusal

ROW = ("1", date(2001, 2, 3), True, 1.5, "north", "x")


def book(path: Path, *rows: tuple[Any, ...], sheet: str = "Sheet1") -> Path:
    """By another program than the one that reads it. A text that begins with = is a formula."""
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm"}) as writer:
        page = writer.add_worksheet(sheet)
        for place, row in enumerate(rows):
            page.write_row(place, 0, row)
    return path


def test_cells_are_what_excel_shows(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "people.xlsx"
    with xlsxwriter.Workbook(path) as writer:
        page, zeros = writer.add_worksheet("people"), writer.add_format({"num_format": "000"})
        day = writer.add_format({"num_format": "dd/mm/yyyy"})
        page.write_row(0, 0, [*HEADER, "", ""])
        for place, number in enumerate((7, 7.0, 1234.5), 1):
            page.write_row(place, 0, [None, None, "yes", 1.1, "north", number])
        page.write(1, 0, 7, zeros)
        page.write(2, 0, "7")
        page.write(3, 0, 123456789012)
        page.write(1, 1, datetime(2001, 2, 3), day)
        page.write(2, 1, "2001-02-04")
        page.write_formula(3, 3, "=1+1", None, 2)
    done = bench.ingest(schema(tmp_path), path)
    rows = done.table("people").sort("id")
    assert rows["id"].to_list() == ["007", "123456789012", "7"]
    assert rows["born"].to_list() == [date(2001, 2, 3), None, date(2001, 2, 4)]
    assert rows["dose"].to_list() == [1.1, 2.0, 1.1]
    assert rows["note"].to_list() == ["7", "1234.5", "7"]


def test_rows_without_a_value_are_none_and_cells_behind_the_last_column_are_a_fault(
    bench: Bench, tmp_path: Path
) -> None:
    rows = [(), ROW, ("", None, ""), ("2", *ROW[1:], None, ""), ("3", *ROW[1:], "more"), ("4",)]
    done = bench.ingest(schema(tmp_path), book(tmp_path / "people.xlsx", HEADER, *rows))
    assert done.patients["patient_id"].to_list() == ["1", "2"]
    assert done.report["tables"]["people"]["rows"] == 4
    assert done.report["dropped_patients_by_reason"] == {
        "people.row does not parse": 1,
        "people.flag: missing value": 1,
    }


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (3, "#N/A"),
        (3, time(10, 30)),
        (1, 43647),
        (1, datetime(2019, 7, 1, 14, 30)),
        (1, time(10, 30)),
        (3, timedelta(hours=30)),
        (5, timedelta(hours=30)),
    ],
)
def test_a_value_of_another_sort_costs_its_own_patient(
    bench: Bench, tmp_path: Path, place: int, value: Any
) -> None:
    bad = ("2", *ROW[1:place], value, *ROW[place + 1 :])
    path = tmp_path / "people.xlsx"
    writer = openpyxl.Workbook()
    for row in (HEADER, ROW, bad):
        writer.active.append(row)
    writer.save(path)
    done = bench.ingest(schema(tmp_path), path)
    assert done.patients["patient_id"].to_list() == ["1"]
    assert done.report["dropped_patients_by_reason"] == {
        f"people.{HEADER[place]}: does not parse": 1
    }


@pytest.mark.parametrize("place", [0, 3, 4, 5])
def test_a_formula_that_nobody_computed_is_not_an_empty_cell(
    bench: Bench, tmp_path: Path, place: int
) -> None:
    """A program that writes formulas without results leaves cells that look empty."""
    path = tmp_path / "people.xlsx"
    writer = openpyxl.Workbook()
    for row in (HEADER, ROW, ("2", *ROW[1:])):
        writer.active.append(row)
    writer.active.cell(3, place + 1).value = "=1+1"
    writer.save(path)
    done = bench.ingest(schema(tmp_path), path)
    assert done.patients["patient_id"].to_list() == ["1"]
    assert done.report["tables"]["people"]["faults"] == {HEADER[place]: {"does not parse": 1}}


def test_a_file_that_misstates_its_size_is_read_whole(bench: Bench, tmp_path: Path) -> None:
    path = book(tmp_path / "whole.xlsx", HEADER, *((str(n), *ROW[1:]) for n in range(50)))
    with (
        zipfile.ZipFile(path) as whole,
        zipfile.ZipFile(tmp_path / "people.xlsx", "w") as other,
    ):
        for name in whole.namelist():
            content = whole.read(name).replace(
                b'<dimension ref="A1:F51"/>', b'<dimension ref="A1:B3"/>'
            )
            other.writestr(name, content)
    assert bench.ingest(schema(tmp_path), tmp_path / "people.xlsx").patients.height == 50


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "row 1 is blank"),
        ([(), HEADER, ROW], "row 1 is blank"),
        ([("id", "", *HEADER[2:]), ROW], "cell B1 is empty"),
        ([HEADER[:-1], ROW[:-1]], r"missing column\(s\) note"),
        ([(*HEADER, "more"), ROW], r"undeclared column\(s\) more"),
        ([(*HEADER, "Note"), ROW], "stand twice"),
        ([ROW], r"missing column\(s\) id"),
    ],
)
def test_a_header_that_is_not_as_declared_is_refused(
    bench: Bench, tmp_path: Path, rows: list[tuple[Any, ...]], message: str
) -> None:
    source = book(tmp_path / "people.xlsx", *rows)
    with pytest.raises(Refusal, match=rf"people\.xlsx, sheet Sheet1.*{message}"):
        bench.ingest(schema(tmp_path), source)


@pytest.mark.parametrize("content", [b"", b"PK", b"id,born\n1,2\n"])
def test_a_file_that_is_no_workbook_is_refused(
    bench: Bench, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "people.xlsx").write_bytes(content)
    with pytest.raises(Refusal, match="no readable Excel workbook"):
        bench.ingest(schema(tmp_path), tmp_path / "people.xlsx")


def test_the_sheet_of_a_table(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "people.xlsx"
    with xlsxwriter.Workbook(path) as writer:
        writer.add_worksheet("About").write(0, 0, "This is no table")
        writer.add_worksheet("Data 2019").write_row(0, 0, HEADER)
    with pytest.raises(Refusal, match=r"missing sheet people .* has About, Data 2019"):
        bench.ingest(schema(tmp_path), path)
    with pytest.raises(Refusal, match="missing sheet Data 2020"):
        bench.ingest(schema(tmp_path, "sheet: Data 2020"), path)
    assert bench.ingest(schema(tmp_path, "sheet: data 2019"), path).patients.height == 0


def test_a_workbook_of_several_tables(bench: Bench, tmp_path: Path) -> None:
    from ingest_cases import PARTICIPANTS, VISITS

    path = tmp_path / "prism.xlsx"
    with xlsxwriter.Workbook(path) as writer:
        for name, rows in (
            ("PRISM_cohort_Participants", [PARTICIPANTS, participant(1), participant(2)]),
            ("PRISM_visits_cleaned", [VISITS, visit(1, "2012-01-10", "Enrollment")]),
        ):
            page = writer.add_worksheet(name)
            for place, row in enumerate(rows):
                page.write_row(place, 0, row)
    done = bench.ingest("uganda_malaria", path)
    assert done.report["patients"]["read"] == 2 and done.table("visits").height == 1
    book(path, PARTICIPANTS, sheet="PRISM_cohort_Participants")
    with pytest.raises(Refusal, match="missing sheet PRISM_visits_cleaned of table"):
        bench.ingest("uganda_malaria", path)
