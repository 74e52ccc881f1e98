"""Drafts of one long table, as pbcseq and heart are, of wide ones, and of how pathways end."""

from __future__ import annotations

from pathlib import Path

import pytest
from draft_cases import PUBLISHED, check, drafted, write_csv
from ruamel.yaml import YAML
from test_draft_tables import ENTRIES, EXITS, PEOPLE, N, visits

from pipeline.cli.parser import main
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.draft.declaration import draft
from pipeline.restricted.draft.yaml_parts import Statement

TURNS = 3
FOLLOWED = {  # measurements by day; follow-up and its status in every row
    "id": [place for place in range(N) for _ in range(TURNS)],
    "futime": [900 + place for place in range(N) for _ in range(TURNS)],
    "status": [place % 3 for place in range(N) for _ in range(TURNS)],
    "sex": ["fm"[place % 2] for place in range(N) for _ in range(TURNS)],
    "day": [200 * turn + place for place in range(N) for turn in range(TURNS)],
    "bili": [f"{place % 40 / 7 + turn:.2f}" for place in range(N) for turn in range(TURNS)],
}
COUNTING = {  # one interval begins where another ends
    "id": [place for place in range(N) for _ in range(2)],
    "start": [day for place in range(N) for day in (0, 30 + place)],
    "stop": [day for place in range(N) for day in (30 + place, 90 + place)],
    "event": ["0", "1"] * N,
    "enrolled": [day for day in ENTRIES for _ in range(2)],
}


def fits(path: Path, *files: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether the draft needs no correction and loses nothing."""
    code, out = check(path, *files), capsys.readouterr().out
    kept = f"{N} patients read, {N} kept" in out and "Every cell fits." in out
    return code == 0 and kept and "left out" not in out and "moved" not in out


def test_what_never_changes_within_a_patient_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = write_csv(tmp_path / "seq.csv", FOLLOWED)
    value = drafted(path)
    [table], events = value["tables"].values(), value["events"]
    assert table["once"] == ["futime", "status", "sex"] and "key" not in table
    assert list(value["patients"]["columns"]) == ["sex"]
    assert events["ending"] == {
        "table": "seq", "day": "futime", "unit": "days", "status": "status",
        "codes": {"0": "CENSORED", "1": "EVENT_1", "2": "EVENT_2"},
    }  # fmt: skip
    assert list(events["types"]) == ["SEQ", "EVENT_1", "EVENT_2", "CENSORED"]
    assert events["first"] == ["SEQ"] and events["censoring"] == ["CENSORED"]
    assert fits(tmp_path, path, capsys=capsys)


def test_the_values_of_a_status_stand_under_review(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "seq.csv", FOLLOWED)
    events = drafted(path, statement=Statement(name="mine"))["events"]
    assert {"ending", "types", "first"} <= set(events["review"])
    assert not {"ending", "types", "first"} & set(events)


def test_intervals_that_touch_end_before_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = write_csv(tmp_path / "rows.csv", COUNTING)
    value = drafted(path)
    # a date that never changes is not when the rows were
    assert value["events"]["rows"]["day"] == "start" and value["events"]["origin"] is None
    assert list(value["events"]["types"]) == ["ROW_END", "ROW", "END"]
    assert value["tables"]["rows"]["columns"]["stop"]["nullable"] is True
    assert fits(tmp_path, path, capsys=capsys)


def test_a_date_of_death_comes_before_the_last_contact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    source = tmp_path / "source"
    source.mkdir()
    died = [day if place % 3 else "" for place, day in enumerate(EXITS)]
    columns = {"patient_id": PEOPLE, "enrolled": ENTRIES, "death_date": died, "last_seen": EXITS}
    files = (visits(source), write_csv(source / "people.csv", columns))
    events = drafted(*files)["events"]
    assert events["ending"] == [
        {"table": "people", "date": "death_date", "constant": "DEATH"},
        {"table": "people", "date": "last_seen", "constant": "CENSORED"},
    ]
    assert list(events["types"])[-2:] == ["DEATH", "CENSORED"]
    assert fits(tmp_path, *files, capsys=capsys)


WIDE = {  # as mgus2 and ebmt4: times with their status
    "id": list(range(N)),
    "age": [20 + place for place in range(N)],
    "rel": [100 + place * 7 for place in range(N)],
    "rel.s": [place % 2 for place in range(N)],
    "futime": [600 + place * 7 for place in range(N)],
    "death": ["100"[place % 3] for place in range(N)],
}


def test_times_with_a_status_are_pathways_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = write_csv(tmp_path / "wide.csv", WIDE)
    assert drafted(path)["layout"] == "table"
    assert "rel with rel.s, futime with death" in draft([str(path)], PUBLISHED)
    text = draft([str(path)], PUBLISHED, pathways=True)
    value = YAML(typ="safe").load(text)
    events = value["events"]
    assert events["rows"] == [
        {"table": "wide", "constant": "START"},
        {"table": "wide", "day": "rel", "unit": "days", "status": "rel.s", "codes": {"1": "REL"}},
    ]
    assert events["ending"]["day"] == "futime"
    assert events["ending"]["codes"] == {"0": "CENSORED", "1": "DEATH"}
    assert list(value["patients"]["columns"]) == ["age"]
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mine.yaml").write_text(text, encoding="utf-8")
    assert main(["dataset", "check", "mine", "--source", str(path)]) == 0
    assert f"{N} patients read, {N} kept" in capsys.readouterr().out
    with pytest.raises(Refusal, match="a number of days followed by its status"):
        draft(
            [str(write_csv(tmp_path / "ages.csv", {"id": list(range(N))}))],
            PUBLISHED,
            pathways=True,
        )
    restricted = YAML(typ="safe").load(draft([str(path)], Statement(name="mine"), pathways=True))
    assert not {"rows", "ending", "types", "first"} & set(restricted["events"])
