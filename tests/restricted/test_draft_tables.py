"""Whose rows tables hold, which of them are events, and what becomes of a draft."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from draft_cases import PUBLISHED, check, drafted, write_csv

from pipeline.cli.parser import main
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.draft.declaration import draft
from pipeline.restricted.draft.yaml_parts import Statement
from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema

N = 60
RNG = np.random.default_rng(11)
PEOPLE = [f"{1000 + place}" for place in range(N)]
ENTRIES = [date(2018, 1, 1) + timedelta(days=7 * place) for place in range(N)]
EXITS = [day + timedelta(days=400 + place) for place, day in enumerate(ENTRIES)]
VISITS = [(person, day + timedelta(days=90 * turn)) for person, day in zip(PEOPLE, ENTRIES,
          strict=True) for turn in range(4)]  # fmt: skip


def people(folder: Path, **more: list[str]) -> Path:
    columns = {
        "patient_id": PEOPLE,
        "sex": ["F", "M"] * (N // 2),
        "enrolled": ENTRIES,
        "last_seen": EXITS,
        "reason": ["moved", "died", "completed"] * (N // 3),
    }
    return write_csv(folder / "people.csv", columns | more)


def visits(folder: Path) -> Path:
    return write_csv(
        folder / "visits.csv",
        {
            "patient": [person for person, _ in VISITS],
            "visit_date": [day for _, day in VISITS],
            "visit_type": ["routine", "sick"] * (2 * N),
            "weight": [f"{value:.1f}" for value in RNG.normal(70, 9, len(VISITS))],
        },
    )


def test_people_and_their_dated_rows_are_a_log(tmp_path: Path) -> None:
    value = drafted(visits(tmp_path), people(tmp_path))
    tables, events = value["tables"], value["events"]
    assert list(tables) == ["people", "visits"] and value["layout"] == "log"
    assert (tables["people"]["patient"], tables["people"]["key"]) == ("patient_id", ["patient_id"])
    assert tables["visits"]["patient"] == "patient" and "key" not in tables["visits"]
    assert events["origin"] == "enrolled" and events["first"] == ["routine", "sick", "END"]
    assert events["rows"] == {"table": "visits", "date": "visit_date", "type": "visit_type"}
    assert events["ending"] == {
        "table": "people", "date": "last_seen", "constant": "END", "code": "reason",
    }  # fmt: skip
    assert list(events["attributes"]) == ["weight"]
    assert events["types"]["END"]["codes"] == ["completed", "died", "moved"]
    assert list(value["patients"]["columns"]) == ["sex", "enrolled"]


def test_dated_rows_alone_are_a_log_whose_day_0_is_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = visits(tmp_path)
    value = drafted(path)
    assert value["events"]["origin"] == "visit_date"
    assert value["patients"]["columns"] == {"visit_date": {"like": "visits.visit_date"}}
    assert value["tables"]["visits"]["once"] == []
    assert value["events"]["first"] == ["routine", "sick"]
    assert check(tmp_path, path) == 0
    assert f"{N} patients read, {N} kept" in capsys.readouterr().out


def test_a_drafted_log_fits_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    source = tmp_path / "source"
    source.mkdir()
    assert check(tmp_path, visits(source), people(source)) == 0
    assert "Every cell fits." in capsys.readouterr().out
    assert main(["dataset", "explain", "mine", "--epsilon", "3"]) == 0
    explanation = capsys.readouterr().out
    assert "DP-SGD" in explanation and "such release(s) fit" in explanation


def test_a_table_without_the_id_goes_through_its_parent(tmp_path: Path) -> None:
    events = write_csv(
        tmp_path / "tumours.csv",
        {
            "tumour_id": [f"T{place}" for place in range(N)],
            "patient_id": PEOPLE,
            "diagnosed": ENTRIES,
            "grade": ["1", "2", "3"] * (N // 3),
        },
    )
    drugs = write_csv(
        tmp_path / "drugs.csv",
        {
            "tumour_id": [f"T{place % N}" for place in range(3 * N)],
            "given_date": [day for day in ENTRIES for _ in range(3)],
            "drug": ["A", "B", "C"] * N,
        },
    )
    tables = drafted(people(tmp_path), events, drugs)["tables"]
    assert tables["people"]["patient"] == "patient_id"
    assert tables["drugs"]["through"] == ["tumours", "tumour_id"]


def test_a_number_of_something_is_no_patient(tmp_path: Path) -> None:
    """Codes that repeat are no id, whatever they are called after."""
    path = write_csv(
        tmp_path / "rows.csv",
        {
            "education_num": [place % 16 for place in range(600)],
            "personal_income": [place % 50 * 1000 for place in range(600)],
            "day": [place % 31 for place in range(600)],
        },
    )
    value = drafted(path)
    assert value["layout"] == "table" and "patient" not in value["tables"]["rows"]


def test_tables_of_different_people_are_refused(tmp_path: Path) -> None:
    other = write_csv(tmp_path / "towns.csv", {"town": ["A", "B"], "size": [1, 2]})
    with pytest.raises(Refusal, match="no column names a patient"):
        drafted(people(tmp_path), other)


def test_what_holds_between_columns_is_suggested_and_never_declared(tmp_path: Path) -> None:
    path = people(tmp_path, sex_again=["F", "M"] * (N // 2))
    text = draft([str(path)], PUBLISHED)
    assert "equal: [[sex, sex_again]]" in text and "order: [[enrolled, last_seen]]" in text
    value = drafted(path)
    assert "equal" not in value and "order" not in value


def test_a_draft_from_unpublished_rows_names_no_value_outside_of_review(tmp_path: Path) -> None:
    """And is refused, mark by mark, until every one is replaced."""
    path = people(tmp_path)
    text = draft([str(path)], Statement(name="mine", universe="people", size=60))
    assert text.startswith("# RESTRICTED")
    for line in text.splitlines():
        if not line.startswith("#") and "review:" not in line:
            assert "moved" not in line and "2018-" not in line and "'F'" not in line
    declaration = tmp_path / "mine.yaml"
    declaration.write_text(text.replace("source:  #", "source: a test  #"), encoding="utf-8")
    with pytest.raises(DeclarationError) as refused:
        read_schema(declaration)
    assert len(refused.value.problems) == text.count("review: {") == 5


def test_review_is_all_that_stands_between_a_draft_and_a_declaration(tmp_path: Path) -> None:
    """A person's edits: what is under review is written out with its source, nothing else."""
    text = draft([str(people(tmp_path))], Statement(name="mine", universe="people", size=60))
    lines = [
        "\n".join(f"{before}{field}" for field in (*_fields(rest[:-1]), "source: protocol"))
        if mark
        else line
        for line in text.replace("source:  #", "source: a test  #").splitlines()
        if "comments: " not in line
        for before, mark, rest in [line.partition("review: {")]
    ]
    declaration = tmp_path / "mine.yaml"
    declaration.write_text("\n".join(lines), encoding="utf-8")
    schema = read_schema(declaration)
    assert schema.patients["sex"].categories == ("F", "M")


def _fields(content: str) -> list[str]:
    """The entries of a mapping on one line, lists whole."""
    fields, depth, start = [], 0, 0
    for place, sign in enumerate(content):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and not depth:
            fields.append(content[start:place].strip())
            start = place + 1
    return [*fields, content[start:].strip()]


def test_how_many_rows_there_are_shows_under_review_only(tmp_path: Path) -> None:
    """Neither the size nor what follows from it, the largest delta."""
    n = 120_000
    path = write_csv(tmp_path / "rows.csv", {"sex": ["F", "M"] * (n // 2)})
    population = drafted(path, statement=Statement(name="mine"))["population"]
    assert population["review"].pop("nominal_size") == n and "nominal_size" not in population
    assert population["delta"] == 1e-6
    said = drafted(path, statement=Statement(name="mine", size=1_000_000))["population"]
    assert said["nominal_size"] == 1_000_000 and said["delta"] == pytest.approx(1e-7)
