"""A number whose range nobody declares: where its values lie is told from noisy counts alone."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dp.marginals import tree_counts
from pipeline.models.table.domain.bins import numeric_grouping
from pipeline.models.table.domain.encode import BRANCHING, LEARN_LEAVES, Domain, column_domain
from pipeline.models.table.domain.trees import inhabited
from pipeline.models.table.draw.decode import numeric_values
from pipeline.schema.review import LEARN_LOWER, LEARN_UPPER
from pipeline.schema.values import Column

SIGMA = 12


def learned(decimals: int = 0) -> Domain:
    column = Column(
        name="paid",
        kind="continuous",
        learn=True,
        lower=LEARN_LOWER,
        upper=LEARN_UPPER,
        decimals=decimals,
        transform="asinh",
    )
    return column_domain(column, 16)


def noisy_levels(domain: Domain, values: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    codes = np.searchsorted(domain.starts, domain.lattice(values), side="right") - 1
    levels = []
    for place, level in enumerate(tree_counts(codes, BRANCHING, domain.depth)):
        nodes = -(-domain.leaves // BRANCHING ** (domain.depth - place - 1))
        levels.append(level[:nodes] + np.rint(rng.normal(0, SIGMA, nodes)).astype(np.int64))
    return levels


def drawn(domain: Domain, levels: list[np.ndarray], n: int, seed: int) -> np.ndarray:
    grouping, estimate = numeric_grouping(domain, levels, [SIGMA] * domain.depth, 20)
    symbols = grouping.symbols
    mass = estimate.counts.clip(min=0)[symbols.group] * symbols.share
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(mass), n, p=mass / mass.sum())
    return numeric_values(domain, symbols, rows, rng.random(n))


def test_its_grid_is_public_and_fine_however_few_people_there_are() -> None:
    domain = learned()
    values = domain.values(domain.starts)
    assert domain.leaves > LEARN_LEAVES / 2 and domain.depth == 5
    assert (values[0], domain.values(domain.stops)[-1] - 1) == (LEARN_LOWER, LEARN_UPPER)
    between = np.diff(values[(values > 100) & (values < 1e6)]) / values[(values > 100)][0]
    assert len(between) > 200  # ages, doses and amounts fall into leaves of 4%


@pytest.mark.parametrize(
    ("decimals", "low", "high"), [(0, 17, 90), (2, 0.5, 7.5), (0, -170_000, 900_000), (1, -40, -5)]
)
@pytest.mark.parametrize("n", [1_000, 20_000])
def test_values_are_drawn_where_values_lie(decimals: int, low: float, high: float, n: int) -> None:
    """No value beyond the range by more than a node's width at its edge, so that means are means;
    with few people the outermost are drawn further in.
    """
    rng = np.random.default_rng(n)
    domain = learned(decimals)
    values = np.round(low + (high - low) * rng.beta(2, 2, n), decimals)
    levels = noisy_levels(domain, values, rng)
    first, stop = inhabited(levels, [SIGMA] * domain.depth)
    synthetic = drawn(domain, levels, n, seed=1)
    edges = domain.values(np.array([domain.starts[first], domain.stops[stop - 1] - 1]))
    assert synthetic.min() >= edges[0] and synthetic.max() <= edges[1]
    span = high - low
    assert abs(synthetic.mean() - values.mean()) < 0.12 * span
    room = span * (0.3 if n > 5_000 else 1.0)
    assert low - room < synthetic.min() and synthetic.max() < high + room


def test_noise_alone_is_no_range() -> None:
    rng = np.random.default_rng(3)
    domain = learned()
    levels = noisy_levels(domain, np.empty(0), rng)
    assert inhabited(levels, [SIGMA] * domain.depth) == (0, domain.leaves)


def test_one_patient_far_out_moves_nothing() -> None:
    """An outlier is no node that is certainly no noise: it counts as the outermost bin."""
    rng = np.random.default_rng(4)
    domain = learned()
    values = np.append(rng.integers(20, 80, 5_000), 900_000_000)
    levels = noisy_levels(domain, values, rng)
    assert drawn(domain, levels, 5_000, seed=2).max() < 200
