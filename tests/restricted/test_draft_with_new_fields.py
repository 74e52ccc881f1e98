"""Drafts of files in other separators, encodings and forms, and of events by days, in intervals."""

from __future__ import annotations

from pathlib import Path

import pytest
from draft_cases import check, drafted, write_csv
from test_draft_files import COLUMNS, as_json, as_workbook

from pipeline.environment import HOME_VARIABLE

N = 60
INTERVALS = {
    "id": [place for place in range(N) for _ in range(2)],
    "start": [day for place in range(N) for day in (0, 30 + place)],
    "stop": [day for place in range(N) for day in (30 + place, 90 + place)],
    "event": ["0", "1"] * N,
    "age": [20 + place for place in range(N) for _ in range(2)],
}


def test_days_and_intervals_are_told_by_their_names(tmp_path: Path) -> None:
    people = write_csv(
        tmp_path / "people.csv", {"id": list(range(N)), "age": list(range(20, 20 + N))}
    )
    events = drafted(write_csv(tmp_path / "rows.csv", INTERVALS), people)["events"]
    assert events["origin"] is None
    assert events["rows"] == {
        "table": "rows", "day": "start", "unit": "days", "constant": "ROW", "until": "stop",
        "closes": "ROW_END",
    }  # fmt: skip


@pytest.mark.parametrize("separator", ["^", "~", " "])
def test_another_separator_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert check(tmp_path, write_csv(tmp_path / "rows.csv", COLUMNS, separator)) == 0


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_another_encoding_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert check(tmp_path, write_csv(tmp_path / "rows.csv", COLUMNS, encoding=encoding)) == 0


def test_json_lines_and_workbooks_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    as_json(tmp_path / "rows.jsonl")
    assert check(tmp_path, tmp_path / "rows.jsonl") == 0
    as_workbook(tmp_path / "sheets.xlsx")
    assert check(tmp_path, tmp_path / "sheets.xlsx") == 0
