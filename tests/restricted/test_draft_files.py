"""Files as people have them: separators, encodings, forms, and those that cannot be drafted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from draft_cases import drafted, write_csv

from pipeline.refusal import Refusal
from pipeline.restricted.draft.source_file import open_file

N = 60
COLUMNS: dict[str, list[Any]] = {
    "case": [f"c{place}" for place in range(N)],
    "sex": ["F", "M"] * (N // 2),
    "town": ["Köln", "Paris, France", "Rome"] * (N // 3),
    "age": [20 + place for place in range(N)],
}


def table_of(path: Path) -> dict[str, Any]:
    [table] = drafted(path)["tables"].values()
    assert {name: one["kind"] for name, one in table["columns"].items()} == {
        "case": "id",
        "sex": "categorical",
        "town": "categorical",
        "age": "continuous",
    }
    assert table["columns"]["town"]["categories"] == ["Köln", "Paris, France", "Rome"]
    entry: dict[str, Any] = table
    return entry


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "^", "~", "!", " "])
def test_any_single_character_separates(tmp_path: Path, separator: str) -> None:
    table = table_of(write_csv(tmp_path / "rows.csv", COLUMNS, separator))
    assert table.get("separator", ",") == separator


@pytest.mark.parametrize(
    ("encoding", "field"),
    [("utf-8", None), ("utf-8-sig", None), ("latin-1", None), ("utf-16", "utf-16")],
)
def test_encodings(tmp_path: Path, encoding: str, field: str | None) -> None:
    path = write_csv(tmp_path / "rows.txt", COLUMNS, encoding=encoding)
    assert table_of(path).get("encoding") == field


def test_windows_quotes_are_told_from_latin_1(tmp_path: Path) -> None:
    columns = COLUMNS | {"note": ["“so”"] * N}
    path = write_csv(tmp_path / "rows.csv", columns, encoding="cp1252")
    assert open_file(path).encoding == "cp1252"


def as_gzip(path: Path) -> None:
    text = write_csv(path.with_name("plain.csv"), COLUMNS).read_bytes()
    path.write_bytes(gzip.compress(text))


def as_json(path: Path) -> None:
    rows = zip(*COLUMNS.values(), strict=True)
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")


def as_workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "first"
    for row in [list(COLUMNS), *zip(*COLUMNS.values(), strict=True)]:
        book.active.append(row)
    book.create_sheet("second")
    book.save(path)


def as_parquet(path: Path) -> None:
    pl.DataFrame(COLUMNS).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv.gz", as_gzip),
        ("rows.jsonl", as_json),
        ("rows.xlsx", as_workbook),
        ("rows.parquet", as_parquet),
    ],
)
def test_forms(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    table = table_of(tmp_path / name)
    assert table["file"] == "rows"
    assert table.get("sheet") == ("first" if name.endswith("xlsx") else None)


def test_line_breaks_within_quotes(tmp_path: Path) -> None:
    notes = [f"told {place}:\ncall back" for place in range(N)]
    assert drafted(write_csv(tmp_path / "rows.csv", COLUMNS | {"note": notes}))["tables"]["rows"][
        "line_breaks"
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.csv", b"", "is empty"),
        ("rows.csv", b"\n\n", "is empty"),
        ("rows.csv", b"a,b\n", "no rows"),
        ("rows.csv", b"1,2,x\n3,4,y\n", "looks like a row"),
        ("rows.csv", b"a,b,A\n1,2,3\n", "a stands twice"),
        ("rows.csv", b",,a\n1,2,3\n", "an empty name stands twice"),
        ("rows.sas7bdat", b"x", "ending is not known"),
        ("rows.jsonl", b'{"a": 1}\n[2]\n', "line 2 is no JSON object"),
        ("rows.parquet", b"PAR1", "Parquet"),
        ("rows.csv.gz", b"\x1f\x8b\x08\x00broken", "gzip"),
        ("r\u00f6ws?.csv", b"a,b\n1,2\n", "Rename the file"),
    ],
)
def test_what_cannot_be_drafted_says_why(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refusal, match=words):
        drafted(tmp_path / name)


def test_a_folder_or_nothing_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "rows.csv"):
        with pytest.raises(Refusal, match="no such file"):
            drafted(path)


def test_columns_called_after_years_are_names(tmp_path: Path) -> None:
    columns = {"town": COLUMNS["town"]} | {str(year): range(N) for year in range(1990, 2000)}
    [table] = drafted(write_csv(tmp_path / "rows.csv", columns))["tables"].values()
    assert "1990" in table["columns"]
