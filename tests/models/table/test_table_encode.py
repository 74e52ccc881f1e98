"""Codes of public cells: total, inside the declaration, and back."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.table.domain.bins import category_grouping, numeric_grouping
from pipeline.models.table.domain.encode import Domain, column_domain, encode
from pipeline.models.table.draw.decode import numeric_values
from pipeline.models.table.plan.blocks import level_sizes
from pipeline.models.table.values.measurements import Estimate
from pipeline.models.table.values.symbols import Grouping, Symbols
from pipeline.schema.values import Column


@st.composite
def numeric_columns(draw: st.DrawFn) -> Column:
    lower = draw(st.integers(-1000, 1000))
    upper = lower + draw(st.integers(3, 5000))
    atoms = draw(st.lists(st.integers(lower, upper), max_size=2, unique=True))
    return Column(
        name="x",
        kind="continuous",
        lower=lower,
        upper=upper,
        decimals=draw(st.integers(0, 3)),
        nullable=draw(st.booleans()),
        atoms=tuple(float(a) for a in atoms),
        transform=draw(st.sampled_from(["linear", "asinh"])),
        scale=draw(st.sampled_from([1.0, 50.0])),
    )


def grouping_of(domain: Domain, codes: np.ndarray) -> Grouping:
    """Bins from exact counts, as if noise were tiny."""
    counts = [
        np.bincount(
            np.where(
                codes < domain.leaves,
                codes // 4 ** (domain.depth - level),
                codes - domain.leaves + nodes,
            ),
            minlength=nodes + domain.size - domain.leaves,
        )
        for level, nodes in enumerate(level_sizes(domain), start=1)
    ]
    grouping, _ = numeric_grouping(domain, counts, [0.01] * domain.depth, 8)
    return grouping


@settings(max_examples=60, deadline=None)
@given(numeric_columns(), st.integers(0, 2**32 - 1))
def test_a_numeric_value_comes_back_in_its_own_bin(column: Column, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert column.lower is not None and column.upper is not None
    values = np.round(rng.uniform(column.lower, column.upper, 200), column.decimals)
    values[:40] = rng.choice([*column.atoms, column.lower, column.upper], 40)
    given_values = [None if column.nullable and rng.random() < 0.1 else float(v) for v in values]
    domain = column_domain(column, 64)
    codes = encode(domain, pl.Series(given_values, dtype=pl.Float64))
    assert codes.min() >= 0 and codes.max() < domain.size
    grouping = grouping_of(domain, codes)
    groups, symbols = grouping.of_cell[codes], grouping.symbols
    assert grouping.groups <= 8 + domain.size - domain.leaves
    # whatever a symbol is drawn as lies in the cell's own group again
    for place in range(len(symbols.group)):
        values = numeric_values(domain, symbols, np.full(20, place), rng.random(20))
        again = encode(domain, pl.Series(values).fill_nan(None))
        assert (grouping.of_cell[again] == symbols.group[place]).all()
        finite = values[~np.isnan(values)]
        assert ((finite >= column.lower) & (finite <= column.upper)).all()
        assert (np.round(finite, column.decimals) == finite).all()
        assert np.isin(finite, column.atoms).all() == (symbols.atom[place] >= 0) or not len(finite)
    for value, group in zip(given_values, groups, strict=True):
        mine = symbols.group == group
        if value is None:
            assert symbols.missing[mine].all()
        elif value in column.atoms:
            assert (np.array(column.atoms)[symbols.atom[mine]] == value).all()


def test_values_that_ingest_should_have_repaired_still_land_in_one_cell() -> None:
    strict = column_domain(
        Column(name="x", kind="continuous", lower=0, upper=10, decimals=1, atoms=(0.0,)), 64
    )
    codes = encode(
        strict, pl.Series([None, float("nan"), float("inf"), float("-inf"), -5.0, 99.0, 0.0])
    )
    assert (
        codes.tolist() == [0, 0, strict.leaves - 1, 0, 0, strict.leaves - 1, strict.leaves]
        or codes[2] == codes[5] == strict.leaves - 1
    )
    assert ((codes >= 0) & (codes < strict.size)).all()
    names = column_domain(Column(name="c", kind="categorical", categories=("a", "b")), 64)
    assert encode(names, pl.Series(["a", "b", "never declared", None])).tolist() == [0, 1, 0, 0]
    nullable = column_domain(
        Column(name="c", kind="categorical", categories=("a", "b"), nullable=True), 64
    )
    assert encode(nullable, pl.Series(["a", "b", "never declared", None])).tolist() == [0, 1, 2, 2]


def test_dates_come_back_as_days_inside_the_bounds() -> None:
    first = date(2020, 1, 1)
    lower = (first - date(1970, 1, 1)).days
    domain = column_domain(Column(name="d", kind="date", lower=lower, upper=lower + 3), 64)
    assert encode(domain, pl.Series([first + timedelta(days=k) for k in range(4)])).tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_the_asinh_grid_is_fine_where_values_are_small() -> None:
    domain = column_domain(
        Column(
            name="x",
            kind="continuous",
            lower=0,
            upper=1e6,
            decimals=2,
            transform="asinh",
            scale=10.0,
        ),
        256,
    )
    widths = domain.stops - domain.starts
    assert widths[0] < 100 < 100_000 < widths[-1]
    assert (
        domain.starts[0] == 0
        and domain.stops[-1] == 100_000_001
        and (domain.starts[1:] == domain.stops[:-1]).all()
    )


def noisy(counts: list[int], sigma: float) -> Estimate:
    return Estimate(np.array(counts, float), np.full(len(counts), sigma**2))


def test_rare_categories_share_a_group_and_common_ones_stand_alone() -> None:
    domain = column_domain(Column(name="c", kind="categorical", categories=tuple("abcdef")), 64)
    grouping = category_grouping(domain, noisy([5000, 4, -30, 900, 12, 1], 20.0), 64)
    assert grouping.of_cell[0] != grouping.of_cell[3]
    assert len(set(grouping.of_cell[[1, 2, 4, 5]].tolist())) == 1 and grouping.n_merged == 4
    rare = grouping.symbols.share[[1, 2, 4, 5]]
    assert rare.sum() == pytest.approx(1) and rare.min() > 0
    # what differs by less than the noise is no difference
    assert rare == pytest.approx(np.full(4, 0.25))
    assert category_grouping(domain, noisy([5000] * 6, 20.0), 4).groups == 4


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (Column(name="x", kind="continuous", lower=3, upper=3), "lower < upper"),
        (Column(name="x", kind="categorical"), "categories"),
        (Column(name="x", kind="text"), "cannot be modelled"),
    ],
)
def test_a_column_without_a_public_domain_is_refused(column: Column, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        column_domain(column, 64)


def test_symbols_count_groups() -> None:
    none = np.zeros(3, np.int64)
    assert (
        Symbols(
            group=np.array([0, 2, 1]),
            share=np.ones(3),
            start=none,
            stop=none,
            atom=none - 1,
            missing=none > 0,
        ).groups
        == 3
    )
