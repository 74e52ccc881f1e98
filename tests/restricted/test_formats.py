"""A source says the same in every format, and how it writes values is declared."""

from __future__ import annotations

import gzip
import io
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_cases import Bench, Ingested

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import csv_header, csv_lines, parquet_cells, quoted_rows
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, Schema

DECLARATION = """
dataset: trial
title: A trial
source: tests
public: true
layout: table
population: {{name: trial, universe: nobody, kind: public, nominal_size: 1000, epsilon: 5.0,
  delta: 1.0e-6, ceiling_epsilon: 5.0}}
tables:
  people:
    file: people
    key: [id]
    patient: id
    {formats}
    columns:
      id: {{kind: id, role: key}}
      born: {{kind: date, lower: 1900-01-01, upper: 2020-12-31, nullable: true, source: tests}}
      flag: {{kind: categorical, categories: ["no", "yes"], source: tests}}
      dose: {{kind: continuous, lower: 0, upper: 100, decimals: 2, nullable: true, source: tests}}
      site: {{kind: categorical, categories: [north, south], source: tests{site}}}
      note: {{kind: text, role: carried, nullable: true}}
"""
HEADER = ("id", "born", "flag", "dose", "site", "note")
Row = tuple[str, date | None, bool, Decimal | None, str, str | None]


def schema(folder: Path, formats: str = "required: true", site: str = "") -> Schema:
    path = folder / "trial.yaml"
    path.write_text(DECLARATION.format(formats=formats, site=site))
    return read_schema(path)


def csv_text(rows: list[Row]) -> str:
    lines = [",".join(HEADER)]
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    return "\n".join(lines) + "\n"


def as_table(rows: list[Row], types: dict[str, pa.DataType]) -> pa.Table:
    return pa.table(
        {
            name: pa.array([row[place] for row in rows]).cast(types[name])
            if name in types
            else pa.array([row[place] for row in rows])
            for place, name in enumerate(HEADER)
        }
    )


def same(left: Ingested, right: Ingested) -> bool:
    assert left.report["patients"] == right.report["patients"]
    return left.patients.equals(right.patients) and left.table("people").equals(
        right.table("people")
    )


ROWS = st.lists(
    st.tuples(
        st.from_regex(r"[0-9]{1,4}|A[0-9]|9007199254740993", fullmatch=True),
        st.none() | st.dates(date(1899, 1, 1), date(2021, 12, 31)),
        st.booleans(),
        st.none() | st.decimals(-1, 101, places=2),
        st.sampled_from(["north", "south", "east"]),
        st.none() | st.sampled_from(["a, b", "ä", "x"]),
    ),
    min_size=1,
    max_size=20,
)
DICTIONARY = pa.dictionary(pa.int8(), pa.string())
TYPES: tuple[dict[str, pa.DataType], ...] = (
    {},
    {
        "born": pa.timestamp("us"),
        "dose": pa.float64(),
        "site": pa.dictionary(pa.int8(), pa.string()),
    },
    {"born": pa.date64(), "dose": pa.decimal128(10, 4), "note": pa.large_string()},
    {"born": pa.timestamp("ns"), "flag": pa.string(), "dose": pa.decimal256(20, 2)},
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_one_table_in_every_format(bench: Bench, tmp_path: Path, rows: list[Row]) -> None:
    """CSV, gzip and Parquet of several types: the same patients, the same tables."""
    declaration = schema(tmp_path)
    plain = tmp_path / "people.csv"
    plain.write_text(csv_text(rows))
    zipped = tmp_path / "people.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    first = bench.ingest(declaration, plain)
    assert same(first, bench.ingest(declaration, zipped))
    for types in TYPES:
        parquet = tmp_path / "people.parquet"
        pq.write_table(as_table(rows, types), parquet)
        assert same(first, bench.ingest(declaration, parquet)), types


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York", "+05:30"])
@pytest.mark.parametrize("midnight_in", ["zone", "UTC"])
def test_a_day_that_a_program_made_a_moment_of_keeps_its_day(zone: str, midnight_in: str) -> None:
    """In summer, too, and whichever of the two midnights it took."""
    days = pl.Series([date(2020, 1, 15), date(2020, 7, 1), date(1999, 3, 28)])
    moments = days.cast(pl.Datetime("us")).dt.replace_time_zone(
        "UTC" if midnight_in == "UTC" or zone.startswith("+") else zone
    )
    stored = moments.dt.convert_time_zone("UTC").to_arrow().cast(pa.int64())
    values = stored.cast(pa.timestamp("us", zone))
    column = Column(name="born", kind="date")
    if zone.startswith("+") and midnight_in == "zone":
        values = pc_minus(values, timedelta(hours=5, minutes=30))
    texts, _ = parquet_cells.texts(values, column)
    assert texts.to_list() == [day.isoformat() for day in days]


def pc_minus(values: pa.Array, delta: timedelta) -> pa.Array:
    shifted = pa.array([v.as_py() - delta for v in values.cast(pa.timestamp("us"))])
    return shifted.cast(pa.int64()).cast(values.type)


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([10**9, 1], pa.int32()).cast(pa.date32()),
        pa.array([-(2**31), 1], pa.int32()).cast(pa.date32()),
        pa.array([2**62, 86_400_000], pa.int64()).cast(pa.date64()),
        pa.array([10**13, 86_400], pa.int64()).cast(pa.timestamp("s")),
        pa.array([-(2**62), 86_400_000_000], pa.int64()).cast(pa.timestamp("us", "UTC")),
        pa.array([10**13, 86_400], pa.int64()).cast(pa.timestamp("s", "Europe/London")),
    ],
    ids=str,
)
def test_a_stored_value_that_no_date_is_costs_its_own_patient(
    bench: Bench, tmp_path: Path, cells: pa.Array
) -> None:
    table = as_table([("1", None, True, None, "north", None)] * 2, {})
    table = table.set_column(0, "id", pa.array(["1", "2"])).set_column(1, "born", cells)
    pq.write_table(table, tmp_path / "people.parquet")
    done = bench.ingest(schema(tmp_path), tmp_path / "people.parquet")
    assert done.patients["patient_id"].to_list() == ["2"]
    assert done.report["dropped_patients_by_reason"] == {"people.born: does not parse": 1}


def test_bytes_that_are_no_utf8_are_judged_cell_by_cell(bench: Bench, tmp_path: Path) -> None:
    """In Parquet and in CSV alike: a good cell beside a bad one stays what it is."""
    notes = pa.array(["é".encode(), "é".encode("latin-1"), b"x"], pa.binary())
    table = as_table([(str(n), None, True, None, "north", None) for n in (1, 2, 3)], {})
    text = pa.Array.from_buffers(pa.string(), 3, notes.buffers())
    pq.write_table(table.set_column(5, "note", text), tmp_path / "people.parquet")
    done = bench.ingest(schema(tmp_path), tmp_path / "people.parquet")
    assert done.table("people")["note"].to_list() == ["é", "é", "x"]
    lines = b'id,born,flag,dose,site,note\n1,,yes,,north,"\xc3\xa9\xe9"\n2,,yes,,north,\xc3\xa9\n'
    (tmp_path / "people.parquet").unlink()
    (tmp_path / "people.csv").write_bytes(lines)
    again = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert again.table("people")["note"].to_list() == ["Ã©é", "é"]


@pytest.mark.parametrize("block_bytes", [1, 7, 20, 1 << 20])
def test_a_byte_order_mark_is_stripped_wherever_it_stands(block_bytes: int) -> None:
    """Also where a block happens to begin: what is read depends on the row alone."""
    header = csv_lines.Header(("id", "a"), owner=0, longest=200)
    content = "\ufeff1,x\n\ufeff2,\ufeffy\n3,z\n".encode()
    blocks = csv_lines.blocks(io.BytesIO(content), header, block_bytes)
    cells = pl.concat([csv_lines.parse(block, header).cells for block in blocks])
    assert cells["c0"].to_list() == ["\ufeff1", "\ufeff2", "3"]


def test_marks_within_rows_do_not_cost_their_patients(bench: Bench, tmp_path: Path) -> None:
    text = csv_text([(str(n), None, True, None, "north", None) for n in (1, 2)])
    (tmp_path / "people.csv").write_text("\ufeff\ufeff" + text.replace("\n2", "\n\ufeff2"))
    done = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert done.patients["patient_id"].to_list() == ["1", "2"]
    assert done.report["tables"]["people"]["repaired"]["id"] == {"blanks": 1}


def test_declared_formats_are_read(bench: Bench, tmp_path: Path) -> None:
    formats = (
        'date_format: "%d/%m/%Y"\n    decimal: ","\n    separator: ";"\n    missing: ["."]\n'
        "    line_breaks: true"
    )
    (tmp_path / "people.csv").write_text(
        'id;born;flag;dose;site;note\n007;01/07/2019;TRUE;1,5;north;"two\nlines"\n'
        "7;.;F;.;south;\n8;31/12/1950;0;12;north;.\n"
    )
    done = bench.ingest(schema(tmp_path, formats), tmp_path / "people.csv")
    assert done.patients.rows() == [
        ("007", date(2019, 7, 1), "yes", 1.5, "north"),
        ("7", None, "no", None, "south"),
        ("8", date(1950, 12, 31), "no", 12.0, "north"),
    ]
    assert done.table("people")["note"].to_list() == ["two lines", None, None]
    native = tmp_path / "other" / "people.parquet"
    native.parent.mkdir()
    rows: list[Row] = [("007", date(2019, 7, 1), True, Decimal("1.50"), "north", None)]
    pq.write_table(as_table(rows, {"dose": pa.float32()}), native)
    assert bench.ingest(schema(tmp_path, formats), native).patients.row(0) == done.patients.row(0)


@pytest.mark.parametrize(
    ("site", "sites"),
    [
        ("", ["north"]),
        (", nullable: true, unknown: missing", ["north", None, None]),
        (", unknown: other, other: south", ["north", "south"]),
    ],
)
def test_what_an_undeclared_value_becomes_is_declared(
    bench: Bench, tmp_path: Path, site: str, sites: list[str | None]
) -> None:
    values = ["north", "east", None]
    rows = [(str(n), None, True, None, value or "", None) for n, value in enumerate(values)]
    (tmp_path / "people.csv").write_text(csv_text(rows))
    done = bench.ingest(schema(tmp_path, site=site), tmp_path / "people.csv")
    assert done.patients["site"].to_list() == sites
    repaired = done.report["tables"]["people"]["repaired"].get("site", {})
    assert sum(n for how, n in repaired.items() if how.startswith("unknown")) == (
        "east" in values and bool(site)
    )


@pytest.mark.parametrize(
    ("ids", "people"),
    [
        (["007", "7", "7.0", "A1"], ["007", "7", "A1"]),
        (["9007199254740993", "9007199254740992"], ["9007199254740992", "9007199254740993"]),
        (["0", "00", "-1", "+1"], ["+1", "-1", "0", "00"]),
    ],
)
def test_ids_are_text(bench: Bench, tmp_path: Path, ids: list[str], people: list[str]) -> None:
    """007 and 7 are two people, and no digit is lost. 7 and 7.0 are one: pandas writes it so."""
    rows = [(one, None, True, None, "north", None) for one in ids]
    (tmp_path / "people.csv").write_text(csv_text(rows))
    done = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert done.patients["patient_id"].to_list() == people


def test_an_id_that_its_type_has_rounded_is_nobodys(bench: Bench, tmp_path: Path) -> None:
    table = as_table([("1", None, True, None, "north", None)] * 3, {})
    numbers = pa.array([7.0, 2.0**53, 9.007199254740994e15])
    pq.write_table(table.set_column(0, "id", numbers), tmp_path / "people.parquet")
    done = bench.ingest(schema(tmp_path), tmp_path / "people.parquet")
    assert done.patients["patient_id"].to_list() == ["7"]
    assert sum(done.report["tables"]["people"]["left_out"].values()) == 2


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (b"\n", "line 1 is blank"),
        (b"# exported by X\n", "line 1 is a comment"),
        (b"sep=;\n", 'declare `separator: ";"`'),
        (b"sep=,\n", "a note for Excel: take it out"),
        (b"\xef\xbb\xbf\n", "line 1 is blank"),
    ],
)
def test_a_first_line_that_is_no_header_is_named(
    bench: Bench, tmp_path: Path, first: bytes, message: str
) -> None:
    text = csv_text([("1", None, True, None, "north", None)]).encode()
    (tmp_path / "people.csv").write_bytes(first + text)
    with pytest.raises(Refusal, match="line 1") as refused:
        bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert message in str(refused.value)


@pytest.mark.parametrize("line_end", ["\r", "\r\n", "\n"])
def test_every_line_end(bench: Bench, tmp_path: Path, line_end: str) -> None:
    text = csv_text([(str(n), None, True, None, "north", "x") for n in (1, 2)])
    (tmp_path / "people.csv").write_bytes(text.replace("\n", line_end).encode())
    done = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert done.patients["patient_id"].to_list() == ["1", "2"]


@pytest.mark.parametrize("note", ["a\rb", "\rb", "a\r", '"a\rb"'])
def test_a_lone_carriage_return_is_text_of_its_cell(
    bench: Bench, tmp_path: Path, note: str
) -> None:
    text = csv_text([(str(n), None, True, None, "north", None) for n in (1, 2, 3)])
    lines = text.splitlines()
    lines[2] += note
    (tmp_path / "people.csv").write_bytes(("\n".join(lines) + "\n").encode())
    done = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert done.patients["patient_id"].to_list() == ["1", "2", "3"]


def test_a_header_of_any_length(bench: Bench, tmp_path: Path) -> None:
    text = csv_text([("1", None, True, None, "north", None)])
    (tmp_path / "people.csv").write_text(text.replace("note\n", f'note,"{"x" * 200_000}"\n'))
    with pytest.raises(Refusal, match="undeclared column"):
        bench.ingest(schema(tmp_path), tmp_path / "people.csv")


def test_line_breaks_in_quoted_cells_are_read_where_they_are_declared(
    bench: Bench, tmp_path: Path
) -> None:
    text = csv_text([(str(n), None, True, None, "north", None) for n in (1, 2, 3)])
    text = text.replace("2,,True,,north,", '2,,True,,north,"a\n3,,True,,south,""\n\nb"')
    (tmp_path / "people.csv").write_text(text)
    done = bench.ingest(schema(tmp_path, "line_breaks: true"), tmp_path / "people.csv")
    assert done.patients["site"].to_list() == ["north"] * 3
    assert done.report["patients"]["kept"] == 3
    plain = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert csv_lines.OPEN_ROW in str(plain.report["dropped_patients_by_reason"])


@pytest.mark.parametrize("block_bytes", [1, 5, 50, 1 << 20])
@pytest.mark.parametrize(
    ("content", "rows", "broken"),
    [
        (b'1,"a\nb"\n2,c\n', [("1", "a\nb"), ("2", "c")], []),
        (b'1,"a""\n"\n"2",""\n', [("1", 'a"\n'), ("2", None)], []),
        (b'1,"a\nb",x\n2,c\n', [("2", "c")], [("1", csv_lines.BROKEN_ROW)]),
        (b'\n1,"\n"\n\n2,c', [("1", "\n"), ("2", "c")], []),
    ],
)
def test_quoted_rows_whatever_the_blocks(
    content: bytes, rows: list[object], broken: list[object], block_bytes: int
) -> None:
    header = csv_lines.Header(("id", "a"), owner=0, longest=200)
    parsed = list(quoted_rows.parsed_blocks(io.BytesIO(content), header, "f.csv", block_bytes))
    assert sorted(row for one in parsed for row in one.cells.rows()) == rows
    assert [row for one in parsed for row in one.broken.rows()] == broken


def test_quotes_that_do_not_match_stop_a_file_that_vouched_for_them(
    bench: Bench, tmp_path: Path
) -> None:
    text = csv_text([(str(n), None, True, None, "north", None) for n in (1, 2, 3)])
    (tmp_path / "people.csv").write_text(text.replace("2,,", '2,",'))
    with pytest.raises(Refusal, match="from line 3 on, quotes do not match"):
        bench.ingest(schema(tmp_path, "line_breaks: true"), tmp_path / "people.csv")


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        ('date_format: "%d/%m"', "does not give a date"),
        ('date_format: "%d/%m/%y"', "does not give a date"),
        ('date_format: "day"', "does not give a date"),
        ('decimal: ";"', "neither a point nor a comma"),
        ('decimal: ","', "is the decimal mark of dose, too"),
        ('separator: "::"', "separator"),
    ],
)
def test_a_format_that_nothing_can_meet_is_refused(
    tmp_path: Path, formats: str, message: str
) -> None:
    with pytest.raises(Refusal, match=message):
        schema(tmp_path, formats)


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (", unknown: missing", "nullable"),
        (", unknown: other", "needs the category"),
        (", unknown: maybe", "unknown"),
        (', booleans: ["yes", "no"]', "two categories"),
    ],
)
def test_what_becomes_of_unknown_values_is_checked(tmp_path: Path, site: str, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        schema(tmp_path, site=site)


def test_a_time_of_day_is_not_lost_without_a_word(bench: Bench, tmp_path: Path) -> None:
    table = as_table([(str(n), None, True, None, "north", None) for n in (1, 2)], {})
    moments = pa.array([datetime(2019, 7, 1), datetime(2019, 7, 1, 14, 30)])
    pq.write_table(table.set_column(1, "born", moments), tmp_path / "people.parquet")
    done = bench.ingest(schema(tmp_path), tmp_path / "people.parquet")
    assert done.patients["patient_id"].to_list() == ["1"]
    formats = 'date_format: "%Y-%m-%d %H:%M:%S"'
    both = bench.ingest(schema(tmp_path, formats), tmp_path / "people.parquet")
    assert both.patients["born"].to_list() == [date(2019, 7, 1)] * 2
    repaired = both.report["tables"]["people"]["repaired"]
    assert repaired["born"] == {"time of day is not kept": 1}


def test_the_header_tells_the_separator(tmp_path: Path) -> None:
    table = schema(tmp_path).tables["people"]
    assert "semicolons" in csv_header.separator_hint(["id;born"], table)
    assert csv_header.separator_hint(["id", "born"], table) == ""


def test_an_id_is_one_kind_of_thing_in_all_tables(tmp_path: Path) -> None:
    """A number here and text there would lead to nobody."""
    from test_losses import LOG

    path = tmp_path / "visits.yaml"
    path.write_text(
        LOG.replace("id: {kind: id, role: key, integer: true}", "id: {kind: id, role: key}", 1)
    )
    with pytest.raises(Refusal, match=r"must be declared as people\.id is"):
        read_schema(path)
