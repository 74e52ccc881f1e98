"""Bins that begin where a declaration says so, and columns of which one says what the other is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.models.table.domain.bins import category_grouping, merge_cells, numeric_grouping
from pipeline.models.table.domain.encode import Domain, column_domain
from pipeline.models.table.domain.hierarchy import agree, hierarchy_of, joint_of
from pipeline.models.table.domain.trees import BRANCHING
from pipeline.models.table.measure.shrinkage import likeliest_strays
from pipeline.models.table.values.measurements import Estimate
from pipeline.models.table.values.symbols import Symbols
from pipeline.schema.values import Column


def tree_of(domain: Domain, leaves: np.ndarray) -> list[np.ndarray]:
    """Counts level by level, without noise."""
    levels = []
    for level in range(1, domain.depth + 1):
        width = BRANCHING ** (domain.depth - level)
        levels.append(np.add.reduceat(leaves, np.arange(0, len(leaves), width)))
    return levels


@pytest.mark.parametrize("breaks", [(18.0,), (18.0, 40.0), (3.0, 18.0, 19.0, 105.0), (1.0,)])
@pytest.mark.parametrize("sigma", [1.0, 60.0])
def test_a_bin_begins_at_every_break_however_few_people_are_before_it(
    breaks: tuple[float, ...], sigma: float
) -> None:
    domain = column_domain(
        Column(name="age", kind="continuous", lower=0, upper=105, breaks=breaks), 1024
    )
    ages = np.random.default_rng(3).normal(68, 12, 4500).clip(0, 105).astype(int)
    leaves = np.bincount(ages, minlength=domain.leaves).astype(float)
    levels = tree_of(domain, leaves)
    grouping, estimate = numeric_grouping(domain, levels, [sigma] * len(levels), 20)
    for one in breaks:
        before, after = grouping.of_cell[[int(one) - 1, int(one)]]
        assert before != after
        straddling = (grouping.symbols.start < one) & (grouping.symbols.stop > one)
        assert not straddling.any()
    # nobody is lost to a bin of its own
    assert estimate.counts.sum() == pytest.approx(4500, rel=1e-6)
    assert estimate.counts[grouping.of_cell[int(breaks[0]) - 1]] == pytest.approx(
        leaves[: int(breaks[0])].sum(), abs=3 * sigma
    )


def test_bins_stay_few_and_breaks_come_first() -> None:
    counts = np.full(40, 10.0)
    begins = np.zeros(40, bool)
    begins[[3, 4, 30]] = True
    assert merge_cells(counts, 8, begins).max() < 8
    bins = merge_cells(counts, 2, begins)
    assert all(bins[place] != bins[place - 1] for place in (3, 4, 30))
    assert (np.diff(merge_cells(counts, 8, np.zeros(40, bool))) >= 0).all()


def test_a_break_of_a_coarse_grid_is_the_first_leaf_without_smaller_values() -> None:
    column = Column(
        name="cost", kind="continuous", lower=0, upper=10_000, breaks=(500.0,), transform="asinh",
        scale=10.0,
    )  # fmt: skip
    domain = column_domain(column, 16)
    (leaf,) = domain.breaks()
    assert domain.starts[leaf] >= 500 > domain.starts[leaf - 1]


def test_how_many_people_are_invented_in_a_category_that_nobody_has() -> None:
    """docs/table_model.md, step 3: alone by noise, sigma x phi(3) people each; else its part of the
    rare ones.
    """
    sigma, absent, runs = 60.0, 60, 400
    people = np.array([3000.0, 1500.0, *np.full(10, 12.0), *np.zeros(absent)])
    domain = column_domain(
        Column(name="site", kind="categorical", categories=tuple(f"C{k}" for k in range(72))), 64
    )
    rng = np.random.default_rng(2)
    alone, shared = 0.0, 0.0
    for _ in range(runs):
        counts = people + rng.normal(0, sigma, len(people))
        cells = Estimate(counts, np.full(len(people), sigma**2))
        symbols = category_grouping(domain, cells, 64).symbols
        of_group = np.bincount(symbols.group, counts).clip(min=0.0)
        sizes = np.bincount(symbols.group)
        invented = (of_group[symbols.group] * symbols.share)[12:]
        is_alone = (sizes[symbols.group] == 1)[12:]
        alone += invented[is_alone].sum() / absent / runs
        shared += invented[~is_alone].sum() / absent / runs
    density = math.exp(-4.5) / math.sqrt(2 * math.pi)
    # one in 700 of 24,000 draws: 32 of them, give or take 6
    assert alone == pytest.approx(sigma * density, rel=0.6)
    # 120 people in 70 categories; the noise of their sum, cut off at 0, brings 2.2 more each
    assert shared < 120 / 70 + sigma * math.sqrt(70) / 70 * 0.4


# lung and bone; of lung one common site and one rare, of bone rare ones only
PARENTS = np.array([0, 0, 1, 1, 1])
SHARES = np.array([1.0, 0.02, 0.5, 0.3, 0.18])


def symbols_of(group: list[int], share: np.ndarray) -> Symbols:
    n = len(group)
    return Symbols(
        group=np.array(group),
        share=share,
        start=np.zeros(n, int),
        stop=np.zeros(n, int),
        atom=np.full(n, -1),
        missing=np.zeros(n, bool),
    )


def test_whom_a_group_of_sites_leaves_over_is_not_drawn_as_its_rare_site() -> None:
    """Lung has 60 more people than its sites, by noise: they are lung's common site, for the rare
    one has 2 of 100 in the group that it shares.
    """
    symbols = {
        "organ": symbols_of([0, 1], np.ones(2)),
        "site": symbols_of([0, 1, 1, 1, 1], SHARES / np.array([1, *[SHARES[1:].sum()] * 4])),
    }
    relation = np.stack([place == PARENTS for place in (0, 1)])
    free = np.ones((2, 2), bool)
    hierarchy = hierarchy_of({("organ", "site"): relation, ("organ", "sex"): free}, symbols)
    assert list(hierarchy) == [("organ", "site")]
    within = hierarchy["organ", "site"]
    assert within == pytest.approx(np.array([[1.0, 0.02], [0.0, 0.98]]))
    variances = np.full(2, 30.0**2)
    joint = joint_of(
        within, (np.array([900.0, 100.0]), variances), (np.array([962.0, 98.0]), variances)
    )
    assert joint[0, 0] == pytest.approx(930, abs=5)
    assert joint[0, 1] < 5 and joint[1, 0] == 0
    # clear counts of the groups tell how many rare ones there are
    clear = joint_of(
        within, (np.array([900.0, 100.0]), variances), (np.array([900.0, 150.0]), np.ones(2))
    )
    assert clear.sum(1) == pytest.approx([900, 150], abs=3)


def test_a_cell_published_as_rare_strays_by_little_where_common_ones_stray_far() -> None:
    """Common values stray as samples do; that is no reason to believe the noise of a rare one."""
    rng = np.random.default_rng(1)
    shares = np.array([*np.full(10, 0.0999), *np.full(10, 0.0001)])
    published = 10_000 * shares
    truth = published * np.exp(rng.normal(0, 0.2, 20))
    noise = np.full(20, 60.0**2)
    counts = truth + rng.normal(0, 60, 20)
    strays, _ = likeliest_strays(counts, noise, published, 10_000, 1000)
    assert strays[:10].min() > 80**2 and strays[10:].max() < 25**2
    # of other people: values that are published as absent are there, and the counts are believed
    there = counts + np.array([*np.zeros(10), *np.full(10, 900.0)])
    strays, _ = likeliest_strays(there, noise, published, 20_000, 1000)
    assert strays[10:].min() > 300**2


def test_two_columns_of_a_hierarchy_come_to_say_the_same_of_a_third() -> None:
    """Sites say that lung is late, with little noise; groups say that it is early, with much."""
    within = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    sites = np.array([[0.05, 0.35], [0.03, 0.17], [0.30, 0.10]])
    groups = np.array([[0.30, 0.30], [0.20, 0.20]])
    margins = {"organ": np.array([0.6, 0.4]), "site": sites.sum(1), "stage": sites.sum(0)}
    joints = {("organ", "site"): within * sites.sum(1), ("stage", "site"): sites.T,
              ("organ", "stage"): groups}  # fmt: skip
    weights: dict[tuple[str, str], float | np.ndarray] = {
        ("organ", "site"): 1.0, ("stage", "site"): np.full((2, 3), 1e6), ("organ", "stage"): 1e3
    }  # fmt: skip
    after = agree(joints, weights, margins, {("organ", "site"): within})
    assert within @ after["stage", "site"].T == pytest.approx(after["organ", "stage"], abs=0.01)
    assert after["stage", "site"] == pytest.approx(sites.T, abs=0.01)
    for (one, other), joint in after.items():
        assert joint.sum(1) == pytest.approx(margins[one], abs=1e-6)
        assert joint.sum(0) == pytest.approx(margins[other], abs=1e-6)
    # what cannot be stays so, whatever the groups say
    sites[2, 0], sites[2, 1] = 0.0, 0.4
    margins["stage"] = sites.sum(0)
    ruled = agree(
        joints | {("stage", "site"): sites.T}, weights, margins, {("organ", "site"): within}
    )
    assert ruled["stage", "site"][0, 2] == 0
    # without the finer pair there is nothing to agree on
    alone = {key: joints[key] for key in (("organ", "site"), ("organ", "stage"))}
    assert agree(alone, weights, margins, {("organ", "site"): within}) == alone
