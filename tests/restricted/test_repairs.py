"""Each declared repair of a cell: what it mends, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.restricted.ingest import casting, repairs
from pipeline.restricted.ingest.blocks import Block, none_broken
from pipeline.schema import repair_names
from pipeline.schema.values import Column, Table

RECEPTOR = Column(
    name="ER_STATUS", kind="categorical", categories=("P", "N", "B", "U", "X"), nullable=True
)
ETHNICITY = Column(name="ETHNICITY", kind="categorical", categories=("A", "B", "M", "0"))
QUINTILE = Column(
    name="QUINTILE_2019",
    kind="categorical",
    nullable=True,
    repairs=("quintile_2015",),
    aliases=("QUINTILE_2015",),
    categories=("1 - most deprived", "2", "3", "4", "5 - least deprived"),
)
INTENT = Column(name="INTENT", kind="categorical", categories=("C", "P", "01", "02", "03", "4"))
MODALITY = Column(name="MODALITY", kind="categorical", categories=("5", "6"))
TRIAL = Column(name="CLINICAL_TRIAL", kind="categorical", categories=("Y", "N"))
HEIGHT = Column(name="HEIGHT", kind="continuous", lower=0.5, upper=2.2, decimals=2, nullable=True)
DAY = Column(name="DAY", kind="date", nullable=True, lower=0, upper=20_000)
CODE = Column(name="CODE", kind="categorical", categories=("1", "1.0", "NA"))
NUMBER = Column(name="NUMBER", kind="id")


@pytest.mark.parametrize(
    ("name", "column", "before", "after"),
    [
        ("strip_m", RECEPTOR, ["Pm", "P", "Qm", "m", None], ["P", "P", "Q", "m", None]),
        ("first_letter", ETHNICITY, ["A1", "MB", "A", "Q9", "0"], ["A", "M", "A", "Q9", "0"]),
        (
            "quintile_2015",
            QUINTILE,
            ["1 - least deprived", "5 - most deprived", "1 - most deprived", "2"],
            ["5 - least deprived", "1 - most deprived", "1 - most deprived", "2"],
        ),
        (
            "quintile_v1",
            QUINTILE,
            ["1", "2", "3", "4", "5"],
            ["5 - least deprived", "4", "3", "2", "1 - most deprived"],
        ),
        ("leading_zero", INTENT, ["1", "02", "3", "P", "4"], ["01", "02", "03", "P", "4"]),
        ("leading_zero", MODALITY, ["05", "6", "5", "50"], ["5", "6", "5", "50"]),
        (
            "yes_or_no",
            TRIAL,
            ["Y", "y", "1", "01", "N", "n", "2", "02", "?"],
            ["Y", "Y", "Y", "Y", "N", "N", "N", "N", "?"],
        ),
        (
            "sentinel_to_missing",
            DAY,
            [
                "1899-12-30",
                "1900-01-01",
                "9999-12-31",
                "1899-12-30 10:00",
                "2016-01-01",
                "1901-01-01",
            ],
            [None, None, None, None, "2016-01-01", "1901-01-01"],
        ),
        (
            "out_of_bounds_to_missing",
            HEIGHT,
            ["-1", "0", "170", "1.7", "tall"],
            [None, None, None, "1.7", "tall"],
        ),
        ("unknown_to_missing", RECEPTOR, ["P", "Q"], ["P", None]),
        (
            "trailing_dot",
            Column(name="income", kind="categorical", categories=("<=50K", ">50K")),
            ["<=50K.", ">50K", "x."],
            ["<=50K", ">50K", "x"],
        ),
        ("fill(none)", RECEPTOR, [None, "P"], ["none", "P"]),
        ("replace(1=P)", RECEPTOR, ["1", "11"], ["P", "11"]),
    ],
)
def test_a_repair(
    name: str, column: Column, before: list[str | None], after: list[str | None]
) -> None:
    repair = repairs.named(name)
    assert repair is not None
    assert repair(pl.Series("x", before, pl.String), column).to_list() == after


def cast(
    column: Column, *cells: str | None, alias: bool = False
) -> tuple[list[object], list[str | None]]:
    table = Table(name="t", file="t", columns={column.name: column}, patient=column.name)
    aliases = frozenset({column.name} if alias else ())
    typed = casting.cast_rows(
        Block(pl.DataFrame({column.name: pl.Series(cells, dtype=pl.String)}), none_broken()),
        table,
        aliases,
        max_cell_bytes=100,
    )
    return typed.rows[column.name].to_list(), typed.rows["_reason"].to_list()


def test_a_bare_quintile_is_read_by_the_name_of_its_column() -> None:
    assert cast(QUINTILE, "1", "5", "2", alias=True) == (
        ["5 - least deprived", "1 - most deprived", "4"],
        [None] * 3,
    )
    # in v2 the digit alone says nothing
    assert cast(QUINTILE, "1", "2")[1] == ["QUINTILE_2019: unknown category", None]


def test_what_the_declaration_knows_is_never_repaired() -> None:
    assert cast(CODE, "1.0", "NA", "1", "2.0") == (
        ["1.0", "NA", "1", "2"],
        [None, None, None, "CODE: unknown category"],
    )


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "missing value"),
        *((cell, "does not parse") for cell in ("1.5", "99999999999999999999", "0x1", "1 2")),
    ],
)
def test_an_id_is_a_whole_number(cell: str, reason: str) -> None:
    assert cast(NUMBER, cell)[1] == [f"NUMBER: {reason}"]


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("2016-01-01", None),
        ("2016-01-01 00:00:00", None),
        ("2016-01-01T00:00:00.000", None),
        ("2016-01-01 10:30:00", "does not parse"),
        ("2016-1-1", "does not parse"),
        ("01/02/2016", "does not parse"),
        ("2016-02-30", "does not parse"),
        ("2200-01-01", "out of bounds"),
    ],
)
def test_a_date_is_iso(cell: str, fault: str | None) -> None:
    assert cast(DAY, cell)[1] == [fault and f"DAY: {fault}"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.text(max_size=20),
            st.sampled_from(["1.7", "-1", "1e3", "NA", "Pm", "2016-01-01"]),
        ),
        max_size=6,
    ),
    st.sampled_from([RECEPTOR, QUINTILE, HEIGHT, DAY, NUMBER, CODE]),
)
def test_a_cell_is_legal_or_named_whatever_it_holds(
    cells: list[str | None], column: Column
) -> None:
    """And the answer for a cell is the same alone as among others."""
    values, reasons = cast(column, *cells)
    for value, reason in zip(values, reasons, strict=True):
        if reason is None:
            assert value is not None or column.nullable
            assert not column.categories or value is None or value in column.categories
            assert (
                column.lower is None
                or value is None
                or column.kind == "date"
                or column.lower <= value <= column.upper
            )  # type: ignore[operator]
    assert [cast(column, cell) for cell in cells] == [
        ([value], [reason]) for value, reason in zip(values, reasons, strict=True)
    ]


def test_the_handbook_names_every_repair() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
    names = [
        *repairs.ALWAYS,
        *repairs.BY_NAME,
        *(f"{name}(" for name in repairs.WITH_ARGUMENT),
        *repair_names.OF_PATIENTS,
    ]
    assert [name for name in names if f"`{name}" not in text] == []
