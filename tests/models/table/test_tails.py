"""The tail of an amount, which no leaf of the grid tells alone."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dp.marginals import tree_counts
from pipeline.models.table.domain.bins import numeric_grouping
from pipeline.models.table.domain.encode import BRANCHING, Domain, column_domain
from pipeline.models.table.domain.trees import tree_of
from pipeline.models.table.draw.decode import numeric_values
from pipeline.schema.values import Column

PATIENTS, SIGMA, SPLITS = 20_000, 60, 12
BOUND = 2_000_000.0


def amounts(lower: float = 0.0) -> Domain:
    column = Column(
        name="paid", kind="continuous", lower=lower, upper=BOUND, transform="asinh", scale=100.0
    )
    return column_domain(column, 1024)


def drawn(domain: Domain, values: np.ndarray, seed: int) -> np.ndarray:
    """As many values from noisy counts of these."""
    points = domain.lattice(values)
    codes = np.searchsorted(domain.starts, points, side="right") - 1
    rng = np.random.default_rng(seed)
    levels = []
    for place, level in enumerate(tree_counts(codes, BRANCHING, domain.depth)):
        nodes = -(-domain.leaves // BRANCHING ** (domain.depth - place - 1))
        levels.append(level[:nodes] + np.rint(rng.normal(0, SIGMA, nodes)).astype(np.int64))
    grouping, estimate = numeric_grouping(domain, levels, [SIGMA] * domain.depth, 20)
    symbols = grouping.symbols
    mass = estimate.counts.clip(min=0)[symbols.group] * symbols.share
    rows = rng.choice(len(mass), len(values), p=mass / mass.sum())
    return numeric_values(domain, symbols, rows, rng.random(len(values)))


@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_a_heavy_tail_ends_where_it_ends(spread: float) -> None:
    """Evenly drawn up to the bound, the standard deviation is four times the true one."""
    ratios = []
    for seed in range(SPLITS):
        rng = np.random.default_rng(seed)
        values = np.exp(rng.normal(8.0, spread, PATIENTS)).clip(0, BOUND)
        ratios.append(drawn(amounts(), values, seed).std() / values.std())
    assert 0.7 < np.median(ratios) < 2.0


def test_a_lower_tail_is_as_smooth() -> None:
    ratios = []
    for seed in range(SPLITS):
        rng = np.random.default_rng(seed)
        values = -np.exp(rng.normal(8.0, 1.0, PATIENTS)).clip(0, BOUND)
        ratios.append(drawn(amounts(-BOUND), values, seed).std() / values.std())
    assert 0.7 < np.median(ratios) < 2.0


def test_a_value_at_which_a_source_cuts_off_stays() -> None:
    """A thousand people at the cap are no tail."""
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(6.0, 0.5, PATIENTS))
    values[:1000] = 99_999.0
    again = drawn(amounts(), values, 1)
    share = float(((again > 90_000) & (again < 110_000)).mean())
    assert 0.04 < share < 0.06


def test_where_noise_covers_all_but_the_middle_there_is_no_tail() -> None:
    """Of few patients what rises above the noise is the middle: it is left as it is."""
    rng = np.random.default_rng(2)
    values = np.exp(rng.normal(8.0, 1.0, 1000))
    again = drawn(amounts(), values, 2)
    assert np.isfinite(again).all() and again.min() >= 0 and again.max() <= BOUND


def test_levels_of_a_tree_add_up() -> None:
    leaves = np.arange(70, dtype=float)
    tree = tree_of(leaves, 4)
    assert [len(level) for level in tree] == [2, 5, 18, 70]
    assert all(level.sum() == leaves.sum() for level in tree)
