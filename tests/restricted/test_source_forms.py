"""A table says the same whatever form its source has: text in any encoding and with any separator,
JSON lines, a workbook, a file of DuckDB.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from ingest_cases import Bench
from test_formats import HEADER, ROWS, Row, csv_text, same, schema

from pipeline import params
from pipeline.refusal import Refusal
from pipeline.restricted import source_check
from pipeline.restricted.ingest import stage, text_bytes
from pipeline.schema.values import Schema

EXAMPLE: list[Row] = [
    ("007", date(2001, 2, 3), True, Decimal("1.10"), "north", "a, b"),
    ("7", None, False, None, "south", None),
    ("9007199254740993", date(1999, 12, 31), True, Decimal("0"), "north", "ä"),
]


def as_json(rows: list[Row], path: Path) -> Path:
    """Numbers as numbers, each with its own text; a missing value as null or without its key."""
    lines = []
    for number, row in enumerate(rows):
        parts = [f'"id": {json.dumps(row[0])}', f'"flag": {json.dumps(row[2])}']
        parts.append(f'"site": {json.dumps(row[4])}')
        for name, value in (("born", row[1] and row[1].isoformat()), ("note", row[5])):
            if value is not None or number % 2:
                parts.append(f'"{name}": {json.dumps(value)}')
        parts.append(f'"dose": {"null" if row[3] is None else row[3]}')
        lines.append("{" + ", ".join(parts) + "}")
    path.write_text("\n".join(lines) + "\n")
    return path


def as_workbook(rows: list[Row], path: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(HEADER)
    for row in rows:
        sheet.append([None if cell is None else cell for cell in row])
    book.save(path)
    return path


def as_duckdb(rows: list[Row], path: Path) -> Path:
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as database:
        database.execute(
            "CREATE TABLE people (id VARCHAR, born DATE, flag BOOLEAN, dose DECIMAL(10, 2),"
            " site VARCHAR, note VARCHAR)"
        )
        database.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", rows)
    return path


FORMS: dict[str, Callable[[list[Row], Path], Path]] = {
    "people.jsonl": as_json,
    "people.xlsx": as_workbook,
    "people.duckdb": as_duckdb,
}


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_one_table_in_every_form(bench: Bench, tmp_path: Path, rows: list[Row]) -> None:
    declaration = schema(tmp_path)
    (tmp_path / "people.csv").write_text(csv_text(rows))
    first = bench.ingest(declaration, tmp_path / "people.csv")
    for name, write in FORMS.items():
        assert same(first, bench.ingest(declaration, write(rows, tmp_path / name))), name


@pytest.mark.parametrize("name", ["people.jsonl", "people.ndjson", "people.jsonl.gz"])
def test_endings_of_json_lines(bench: Bench, tmp_path: Path, name: str) -> None:
    content = as_json(EXAMPLE, tmp_path / "x").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    done = bench.ingest(schema(tmp_path), tmp_path)
    assert done.report["patients"]["kept"] == 3


@pytest.mark.parametrize("separator", [";", "|", "~", "^", " ", "¦", "\u241f", "\\t", "\\x01"])
@pytest.mark.parametrize("name", ["people.csv", "people.txt"])
def test_any_single_character_separates(
    bench: Bench, tmp_path: Path, separator: str, name: str
) -> None:
    mark = {"\\t": "\t", "\\x01": "\x01"}.get(separator, separator)
    lines = csv_text(EXAMPLE).replace('"a, b"', '"a, b{}"').replace(",", mark)
    lines = lines.replace(f"a{mark} b", f"a{mark}b").replace("{}", mark)
    (tmp_path / name).write_text(lines)
    done = bench.ingest(schema(tmp_path, f'separator: "{separator}"'), tmp_path / name)
    assert done.report["patients"]["kept"] == 3
    notes = done.table("people")["note"].to_list()
    assert notes[0].startswith("a") and notes[1:] == [None, "ä"]


def test_tabs_separate_a_tsv_that_says_nothing(bench: Bench, tmp_path: Path) -> None:
    text = csv_text(EXAMPLE).replace(",", "\t").replace("a\t b", "a b")
    (tmp_path / "people.tsv").write_text(text)
    assert bench.ingest(schema(tmp_path), tmp_path / "people.tsv").patients.height == 3
    (tmp_path / "people.tsv").write_text(text.replace("\t", ";"))
    declared = schema(tmp_path, 'separator: ";"')
    assert bench.ingest(declared, tmp_path / "people.tsv").patients.height == 3


@pytest.mark.parametrize("mark", ['""', '"ab"', '"a"', '"1"', '"."', '"\\""', '"\\n"', '"-"'])
def test_a_separator_that_can_be_none_is_refused(tmp_path: Path, mark: str) -> None:
    with pytest.raises(Refusal, match="separator"):
        schema(tmp_path, f"separator: {mark}")


ENCODINGS = (
    "cp1252",
    "latin-1",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp850",
    "utf-8-sig",
)


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_text_in_the_declared_encoding(
    bench: Bench, tmp_path: Path, encoding: str, line_end: str
) -> None:
    text = csv_text(EXAMPLE).replace("\n", line_end)
    (tmp_path / "people.csv").write_bytes(text.encode(encoding))
    done = bench.ingest(schema(tmp_path, f"encoding: {encoding}"), tmp_path / "people.csv")
    assert done.table("people")["note"].to_list() == ["a, b", None, "ä"]
    assert done.report["tables"]["people"]["repaired"] == {"flag": {"booleans": 3}}


def test_an_encoding_of_several_bytes(bench: Bench, tmp_path: Path) -> None:
    """The second byte of a sign may be a separator's or a backslash's."""
    text = csv_text(EXAMPLE).replace("ä", "ソ表").replace(",", "|").replace("a| b", "a, b")
    (tmp_path / "people.csv").write_bytes(text.encode("shift_jis"))
    formats = 'encoding: shift_jis\n    separator: "|"'
    done = bench.ingest(schema(tmp_path, formats), tmp_path / "people.csv")
    assert done.table("people")["note"].to_list() == ["a, b", None, "ソ表"]


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [("cp1252", b"\x81"), ("shift_jis", b"\xfd"), ("ascii", b"\xe4"), ("utf-16-le", b"\x00\xd8")],
)
def test_bytes_that_do_not_decode_cost_their_own_patient(
    bench: Bench, tmp_path: Path, encoding: str, bad: bytes
) -> None:
    text = csv_text([(row[0], *row[1:5], "n") for row in EXAMPLE]).encode(encoding)
    place = text.index("south,n".encode(encoding)) + len("south,".encode(encoding))
    (tmp_path / "people.csv").write_bytes(text[:place] + bad + text[place:])
    done = bench.ingest(schema(tmp_path, f"encoding: {encoding}"), tmp_path / "people.csv")
    assert done.patients["patient_id"].to_list() == ["007", "9007199254740993"]
    assert done.report["dropped_patients_by_reason"] == {
        "people.row holds bytes that are no text in the file's encoding": 1
    }


@pytest.mark.parametrize(
    ("written", "declared", "message"),
    [
        ("utf-8-sig", "cp1252", "begins with the mark of utf-8"),
        ("utf-16", "cp1252", "begins with the mark of utf-16-le"),
        ("utf-16", "utf-32", "begins with the mark of utf-16-le"),
        ("utf-16-le", "cp1252", "no"),
        ("utf-16-le", "utf-8", "declare `encoding:`"),
        ("cp1252", "utf-16", "missing column|ends within a character"),
        ("utf-16-le", "utf-16-be", "missing column|line 1"),
        ("cp500", "ascii", "line 1 holds bytes that are no text"),
    ],
)
def test_a_file_that_is_in_another_encoding_is_refused(
    bench: Bench, tmp_path: Path, written: str, declared: str, message: str
) -> None:
    (tmp_path / "people.csv").write_bytes(csv_text(EXAMPLE).encode(written))
    with pytest.raises(Refusal, match=message):
        bench.ingest(schema(tmp_path, f"encoding: {declared}"), tmp_path / "people.csv")


@pytest.mark.parametrize(
    "encoding", ["utf-7", "iso2022_jp", "hz", "rot13", "hex", "nonsense", "''"]
)
def test_an_encoding_that_does_not_read_line_by_line_is_refused(
    tmp_path: Path, encoding: str
) -> None:
    with pytest.raises(Refusal, match="encoding"):
        schema(tmp_path, f"encoding: {encoding}")


def checked(declaration: Schema, source: Path, table: str = "people") -> list[str]:
    """What a check says of a table, texts of cells included."""
    given = params.load(Path(__file__).resolve().parents[2] / "params.yaml")
    account, examples = stage.rehearse(declaration, given, source)
    result = source_check.check(declaration, account, examples, 0.99, shows_texts=True)
    return [line for line in result.lines if line.startswith(table)]


BAD = [(row[0], *row[1:4], "east" if place else "north", None) for place, row in enumerate(EXAMPLE)]


@pytest.mark.parametrize("name", [*FORMS, "people.csv"])
def test_a_check_says_the_line_of_the_first_bad_cell(
    bench: Bench, tmp_path: Path, name: str
) -> None:
    if name == "people.csv":
        (tmp_path / name).write_text(csv_text(BAD))
    else:
        FORMS[name](BAD, tmp_path / name)
    line = {"people.jsonl": "; the first in line 2", "people.duckdb": ""}
    [said] = checked(schema(tmp_path), tmp_path / name)
    assert said.startswith(
        "people.site (categorical): 2 cells: unknown category, such as east (2)"
        + line.get(name, "; the first in line 3")
        + "."
    )


@pytest.mark.parametrize("breaks", ["false", "true"])
def test_lines_are_counted_through_blank_quoted_and_broken_ones(
    bench: Bench, tmp_path: Path, breaks: str
) -> None:
    note = '"a\nb"' if breaks == "true" else '"a, b"'
    rows = ["", f"1,,yes,,north,{note}", "2,,yes,,north", '3,,yes,,"east",', "4,,yes,,north,"]
    (tmp_path / "people.csv").write_text("\n".join([",".join(HEADER), *rows, ""]))
    more = breaks == "true"
    said = checked(schema(tmp_path, f"line_breaks: {breaks}"), tmp_path / "people.csv")
    assert f"row does not parse; the first in line {4 + more}." in said[0]
    assert f"such as east (1); the first in line {5 + more}." in said[1]


def test_a_time_of_day_in_a_workbook_is_told(bench: Bench, tmp_path: Path) -> None:
    rows = [(row[0], datetime(2019, 7, 1, 14, 30), *row[2:]) for row in EXAMPLE[:1]]
    source = as_workbook(rows, tmp_path / "people.xlsx")  # type: ignore[arg-type]
    [said] = checked(schema(tmp_path), source)
    assert "does not parse, such as 2019-07-01 14:30:00 (1)" in said


@pytest.mark.parametrize(
    ("encoding", "half"),
    [
        ("gb18030", b"\x81\x30"), ("gb18030", b"\x81"), ("euc_jp", b"\x8f"), ("euc_jp", b"\x8e"),
        ("euc_jis_2004", b"\x8f"), ("euc_jisx0213", b"\x8e"), ("euc_kr", b"\xa1"), ("gbk", b"\x81"),
        ("big5", b"\xa4"), ("big5hkscs", b"\x87"), ("shift_jis", b"\x81"), ("cp932", b"\xfc"),
        ("cp949", b"\x81"), ("johab", b"\x84"), ("utf-8", b"\xe4\xb8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_half_a_character_costs_its_own_row_alone(
    tmp_path: Path, encoding: str, half: bytes, line_end: bytes
) -> None:
    """It stands at the end of a line, and leaves the line after it, of another patient, whole."""
    path = tmp_path / "rows.csv"
    lines = [b"id,x", b"1,3", b"2,4" + half, b"3,5", b"4,6"]
    path.write_bytes(line_end.join([*lines, b""]))
    with text_bytes.utf8(path, encoding) as stream:
        text = stream.read(1 << 20)
    assert [line.rstrip(b"\r") for line in text.split(b"\n")][3:] == [b"3,5", b"4,6", b""]
    assert text.split(b"\n")[2].startswith(b"2,4")
