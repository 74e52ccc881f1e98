"""What a draft takes a column for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draft_cases import check, columns_of, drafted, write_csv

from pipeline.environment import HOME_VARIABLE
from pipeline.restricted.draft.cells import MOST_HASHES, MOST_TEXTS

N = 240
RNG = np.random.default_rng(5)
DAYS = [date(2018, 1, 1) + timedelta(days=int(day)) for day in RNG.integers(0, 900, N)]
PAIRS = ["a", "b"] * (N // 2)


def column(folder: Path, values: list[Any], name: str = "x") -> dict[str, Any]:
    """The column as it is drafted; `beside` makes rows that hold more than one cell."""
    path = write_csv(folder / "rows.csv", {name: values, "beside": PAIRS[: len(values)]})
    return columns_of(path)[name]


def with_some(values: list[Any], text: str, every: int = 10) -> list[Any]:
    return [text if place % every == 0 else value for place, value in enumerate(values)]


NUMBERS = [f"{value:.2f}" for value in RNG.normal(120, 15, N)]


@pytest.mark.parametrize(
    ("values", "kind", "review"),
    [
        (["yes", "no"] * (N // 2), "categorical", {"categories": ["no", "yes"]}),
        (["1", "2"] * (N // 2), "categorical", {"categories": ["1", "2"]}),
        (["0", "1", "10"] * (N // 3), "ordinal", {"categories": ["0", "1", "10"]}),
        (["01", "02", "11"] * (N // 3), "categorical", {"categories": ["01", "02", "11"]}),
        (["None", "some"] * (N // 2), "categorical", {"categories": ["None", "some"]}),
        (
            with_some(["low", "high"] * (N // 2), "?"),
            "categorical",
            {"categories": ["high", "low"], "nullable": True, "missing": ["?"]},
        ),
        (
            with_some(["low", "high"] * (N // 2), ""),
            "categorical",
            {"categories": ["high", "low"], "nullable": True},
        ),
        (
            [str(value) for value in range(20, 20 + N)],
            "continuous",
            {"lower": 20, "upper": 19 + N, "decimals": 0},
        ),
    ],
)
def test_a_kind_with_what_rows_told_under_review(
    tmp_path: Path, values: list[str], kind: str, review: dict[str, Any]
) -> None:
    assert column(tmp_path, values) == {"kind": kind, "review": review}


def test_numbers_have_bounds_places_and_a_shape(tmp_path: Path) -> None:
    assert column(tmp_path, NUMBERS)["review"]["decimals"] == 2
    amounts = with_some([str(int(10**value)) for value in RNG.uniform(1, 6, N)], "0", every=3)
    review = column(tmp_path, amounts)["review"]
    assert review["atoms"] == [0] and review["transform"] == "asinh" and review["scale"] > 1
    computed = [repr(float(value)) for value in RNG.normal(0, 1, N)]
    assert column(tmp_path, computed)["review"]["decimals"] <= 5
    assert review["lower"] <= 0


def test_a_decimal_comma_is_how_the_file_is_written(tmp_path: Path) -> None:
    drafted_column = column(tmp_path, [value.replace(".", ",") for value in NUMBERS])
    assert drafted_column["decimal"] == "," and drafted_column["kind"] == "continuous"


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d.%m.%Y", "%d %b %Y", "%Y-%m-%d %H:%M:%S"],
)
def test_dates_with_their_format(tmp_path: Path, form: str) -> None:
    drafted_column = column(tmp_path, [day.strftime(form) for day in DAYS])
    assert drafted_column["kind"] == "date"
    expectation = None if form.startswith("%Y-%m-%d") else form  # ingest takes midnight away
    assert drafted_column.get("date_format") == expectation
    assert drafted_column["review"] == {"lower": min(DAYS), "upper": max(DAYS)}


def test_dates_that_read_in_two_ways_are_a_person_s_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    days = [f"{1 + place % 12:02}/{1 + place % 11:02}/2019" for place in range(N)]
    write_csv(path, {"seen": days, "beside": PAIRS})
    seen = columns_of(path)["seen"]
    assert seen["review"]["date_format"] == "%d/%m/%Y" and "date_format" not in seen


def test_marks_among_numbers_and_dates_are_listed_for_a_person(tmp_path: Path) -> None:
    review = column(tmp_path, with_some(NUMBERS, "not done"))["review"]
    assert review["missing"] == ["not done"] and review["nullable"]
    review = column(tmp_path, with_some([str(day) for day in DAYS], "0000-00-00"))["review"]
    assert review["missing"] == ["0000-00-00"] and review["lower"] == min(DAYS)


def test_numbers_that_may_stand_for_missing_are_only_mentioned(tmp_path: Path) -> None:
    from pipeline.restricted.draft.declaration import draft
    from pipeline.restricted.draft.yaml_parts import Statement

    ages = with_some([str(value) for value in RNG.integers(18, 80, N)], "-9")
    path = write_csv(tmp_path / "rows.csv", {"age": ages, "beside": PAIRS})
    assert "-9 may mean missing" in draft([str(path)], Statement(name="mine"))
    assert "missing" not in columns_of(path)["age"]["review"]


@pytest.mark.parametrize(
    ("name", "values", "entry"),
    [
        ("patient_id", [f"P{place:05}" for place in range(N)], {"kind": "id", "role": "key"}),
        ("note", [f"call {place} back, then see" for place in range(N)],
         {"kind": "text", "role": "carried", "nullable": True}),
        ("unused", [""] * N, {"kind": "text", "role": "carried", "nullable": True}),
        ("unit", ["mg"] * N, {"kind": "categorical", "role": "rebuilt",
         "rule": "constant: the one declared category", "review": {"categories": ["mg"]}}),
    ],
)  # fmt: skip
def test_what_is_not_modelled(
    tmp_path: Path, name: str, values: list[str], entry: dict[str, Any]
) -> None:
    assert column(tmp_path, values, name) == entry


def test_memory_is_bounded_and_repetition_exact(tmp_path: Path) -> None:
    """More values than are kept: ids are told from numbers that repeat, once each or not."""
    n = MOST_HASHES + 5_000
    ids = [f"a-{place}" for place in range(n)]
    twice = [*ids[:-1], ids[0]]
    path = write_csv(
        tmp_path / "rows.csv",
        {"case_id": ids, "code": twice, "group": [place % 7 for place in range(n)]},
    )
    columns = columns_of(path)
    assert columns["case_id"] == {"kind": "id", "role": "key"}
    assert columns["group"]["kind"] == "ordinal"
    assert n > MOST_TEXTS and columns["code"]["role"] in ("key", "carried")


def test_names_that_a_declaration_may_not_give_get_a_header(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "rows.csv",
        {"no.": range(N), "a/b": PAIRS, "a:b": PAIRS, "  spaced  out ": PAIRS, "": range(N)},
    )
    draft = drafted(path)
    [table] = draft["tables"].values()
    assert [one.get("header", name) for name, one in table["columns"].items()] == [
        "no.", "a/b", "a:b", "spaced  out",
    ]  # fmt: skip
    assert table["ignore"] == [""]


def test_every_kind_together_fits_as_it_was_drafted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = write_csv(
        tmp_path / "rows.csv",
        {
            "": range(N),
            "patient_id": [f"P{place:05}" for place in range(N)],
            "no.": with_some(NUMBERS, "?"),
            "seen": [day.strftime("%d/%m/%Y") for day in DAYS],
            "sex": ["F", "M"] * (N // 2),
            "unit": ["mg"] * N,
            "note": [f"call {place} back, then see" for place in range(N)],
            "scale": with_some(["1.0", "2.0", "3.0"] * (N // 3), "NA"),
            "flag": ["TRUE", "FALSE"] * (N // 2),
        },
    )
    assert check(tmp_path, path) == 0
    assert "Every cell fits." in capsys.readouterr().out


def test_many_notes_among_numbers_are_no_numbers(tmp_path: Path) -> None:
    """More than are kept one by one; a message never quotes one."""
    notes = [f"see note {place} of Mrs X" for place in range(30)]
    values = [f"{value:.1f}" for value in RNG.normal(70, 10, 1900)] + notes
    path = write_csv(
        tmp_path / "rows.csv", {"x": values, "beside": ["a", "b"] * (len(values) // 2)}
    )
    assert columns_of(path)["x"]["kind"] in ("continuous", "text")
