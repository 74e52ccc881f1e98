"""Strongly dependent numeric columns, round numbers, and prompts through the edges between
columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from table_cases import Fitted, conditions, run_fit

from pipeline.dp.accounting import calibrate
from pipeline.models.table.domain.bins import numeric_grouping
from pipeline.models.table.domain.copula import copula
from pipeline.models.table.domain.encode import Domain, column_domain
from pipeline.models.table.domain.quantiles import column_quantiles
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.plan.blocks import level_sizes
from pipeline.models.table.plan.plan import plan
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.plan.shares import Shape, shares
from pipeline.schema.values import Column

MONTHS = ("bill_1", "bill_2", "bill_3")
N = 20_000


def bill_columns() -> dict[str, Column]:
    bill = {
        name: Column(
            name=name,
            kind="continuous",
            lower=-10_000,
            upper=1_000_000,
            decimals=0,
            atoms=(0.0,),
            transform="asinh",
            scale=1000.0,
            nullable=name == "bill_3",
        )
        for name in MONTHS
    }
    return {
        "segment": Column(name="segment", kind="categorical", categories=("private", "trade")),
        **bill,
        "limit": Column(
            name="limit",
            kind="continuous",
            lower=0,
            upper=1_000_000,
            decimals=0,
            transform="asinh",
            scale=1000.0,
        ),
    }


def bill_rows(n: int, seed: int) -> pl.DataFrame:
    """Heavy-tailed bills that follow the month before (rank correlation about .93), a third of them
    0; limits granted in ten thousands.
    """
    rng = np.random.default_rng(seed)
    trade = rng.random(n) < 0.3
    level = rng.normal(0, 1, n)
    rows: dict[str, object] = {"segment": np.where(trade, "trade", "private")}
    none = rng.random(n) < 0.25
    for name in MONTHS:
        level = 0.95 * level + np.sqrt(1 - 0.95**2) * rng.normal(0, 1, n)
        bill = np.rint(np.exp(9 + 1.2 * level + 0.8 * trade)).clip(1, 1_000_000)
        rows[name] = np.where(none, 0, bill)
    rows["limit"] = 10_000 * rng.integers(1, 30, n)
    return pl.DataFrame(rows).with_columns(
        pl.when(pl.Series(rng.random(n) < 0.05))
        .then(None)
        .otherwise(pl.col("bill_3"))
        .alias("bill_3")
    )


@pytest.fixture(scope="module")
def bills_fit(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """20,000 rows at epsilon 3, delta 1e-6."""
    table_plan = plan(bill_columns(), (), (), TableSettings(epsilon=3.0, steps=300), N)
    scale, _ = calibrate(table_plan.dp_event, 3.0, 1e-6)
    return run_fit(bill_rows(N, 1), tmp_path_factory.mktemp("bills"), table_plan, scale)


def test_columns_of_bills_come_back(bills_fit: Fitted) -> None:
    """Correlations within .05, shares at the atom within a point, quantiles within a tenth: at
    epsilon 3.
    """
    draws, fresh = bills_fit.model.sample(40_000, np.random.default_rng(2)), bill_rows(40_000, 3)
    for a, b in (("bill_1", "bill_2"), ("bill_2", "bill_3")):
        pairs = [
            rows.filter(pl.col(a).is_not_null() & pl.col(b).is_not_null())
            for rows in (draws, fresh)
        ]
        ranks = [spearmanr(rows[a], rows[b]).statistic for rows in pairs]
        positive = [rows.filter((pl.col(a) > 0) & (pl.col(b) > 0)) for rows in pairs]
        logs = [
            np.corrcoef(np.log(rows[a].to_numpy()), np.log(rows[b].to_numpy()))[0, 1]
            for rows in positive
        ]
        assert ranks[0] == pytest.approx(ranks[1], abs=0.05) and logs[0] == pytest.approx(
            logs[1], abs=0.06
        ), (a, b)
    for name in MONTHS:
        zero = [float((rows[name] == 0).mean()) for rows in (draws, fresh)]  # type: ignore[arg-type]
        assert zero[0] == pytest.approx(zero[1], abs=0.01), name
        quantiles = [
            np.quantile(
                rows.filter(pl.col(name) > 0)[name].to_numpy(), [0.1, 0.25, 0.5, 0.75, 0.9, 0.97]
            )
            for rows in (draws, fresh)
        ]
        assert np.log(quantiles[0] / quantiles[1]) == pytest.approx(np.zeros(6), abs=0.12), name
    assert draws["bill_3"].is_null().mean() == pytest.approx(0.05, abs=0.01)


def test_round_numbers_stay_round(bills_fit: Fitted) -> None:
    """The grid's leaves are narrower than ten thousand, so a heap on a multiple of it is found and
    put there exactly.
    """
    limits = bills_fit.model.sample(20_000, np.random.default_rng(2))["limit"]
    assert float((limits % 10_000 == 0).mean()) > 0.85  # type: ignore[arg-type]
    bills = bills_fit.model.sample(20_000, np.random.default_rng(2)).filter(pl.col("bill_1") != 0)[
        "bill_1"
    ]
    assert float((bills % 1_000 == 0).mean()) < 0.02  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "where",
    [
        {"bill_3": (5_000, 60_000)},
        {"bill_1": (20_000, 400_000), "segment": ["trade"]},
        {"bill_3": [None]},
        {"bill_2": [0, 7_000]},
        {"bill_3": (0, 0), "bill_1": (0, 3_000)},
    ],
)
def test_a_prompt_goes_along_the_edges(bills_fit: Fitted, where: dict[str, object]) -> None:
    """Every row complies, and the other columns are what filtering a large draw leaves of them."""
    prompted = bills_fit.model.sample(30_000, np.random.default_rng(5), conditions(where))
    assert len(prompted) == 30_000 and len(_meeting(prompted, where)) == 30_000
    filtered = _meeting(bills_fit.model.sample(600_000, np.random.default_rng(6)), where)
    assert len(filtered) > 2_000  # enough to compare with
    for name in (name for name in bill_columns() if name not in where):
        shares_of = [_binned(rows[name], filtered[name]) for rows in (prompted, filtered)]
        assert 0.5 * np.abs(shares_of[0] - shares_of[1]).sum() < 0.04, name


def _meeting(rows: pl.DataFrame, where: dict[str, object]) -> pl.DataFrame:
    for name, condition in where.items():
        column = pl.col(name)
        if isinstance(condition, tuple):
            rows = rows.filter(column.is_between(*condition))
        else:
            assert isinstance(condition, list)
            rows = rows.filter(column.is_null() if condition == [None] else column.is_in(condition))
    return rows


def _binned(values: pl.Series, real: pl.Series) -> np.ndarray:
    if values.dtype == pl.String:
        return np.array([float((values == name).mean()) for name in ("private", "trade")])  # type: ignore[arg-type]
    edges = np.unique(np.quantile(real.drop_nulls().to_numpy(), np.linspace(0, 1, 9)[1:-1]))
    counts = np.bincount(
        np.searchsorted(edges, values.drop_nulls().to_numpy(), side="right"),
        minlength=len(edges) + 1,
    )
    return np.asarray(np.append(counts, values.null_count()) / len(values))


def test_edges_are_saved_and_drawn_the_same(bills_fit: Fitted, tmp_path: Path) -> None:
    assert {(edge.parent, edge.child) for edge in bills_fit.model.edges} >= {("bill_1", "bill_2")}
    # it depends on nothing
    assert "limit" not in {
        name for edge in bills_fit.model.edges for name in (edge.parent, edge.child)
    }
    bills_fit.model.save(tmp_path)
    again = TableModel.load(tmp_path).sample(500, np.random.default_rng(4))
    assert again.equals(bills_fit.model.sample(500, np.random.default_rng(4)))


def test_the_copula_has_its_margins_and_its_order() -> None:
    rows, columns = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.6, 0.3])
    for correlation in (-0.9, 0.0, 0.6):
        table = copula(rows, columns, correlation)
        assert table.sum(1) == pytest.approx(rows, abs=1e-6) and table.sum(0) == pytest.approx(
            columns, abs=1e-3
        )
    assert copula(rows, columns, 0.0) == pytest.approx(np.outer(rows, columns), abs=1e-9)
    # P(both above their medians) of a normal pair: 1/4 + asin(r) / (2 pi), Sheppard 1899
    assert copula(np.full(2, 0.5), np.full(2, 0.5), 0.8)[1, 1] == pytest.approx(
        0.25 + np.arcsin(0.8) / (2 * np.pi), abs=1e-3
    )


def _grouped(domain: Domain, counts: np.ndarray, sigma: float) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [
        np.add.reduceat(counts, np.arange(0, len(counts), 4 ** (domain.depth - level)))[:nodes]
        + rng.normal(0, sigma, nodes)
        for level, nodes in enumerate(level_sizes(domain), start=1)
    ]


def test_a_heap_stands_on_the_roundest_number_of_its_leaf_alone() -> None:
    domain = column_domain(
        Column(
            name="x",
            kind="continuous",
            lower=0,
            upper=1_000_000,
            decimals=0,
            transform="asinh",
            scale=1000.0,
        ),
        1024,
    )
    smooth = np.full(domain.leaves, 20.0)
    place = int(np.searchsorted(domain.starts, 50_000, side="right")) - 1
    heaped = smooth.copy()
    heaped[place] += 3_000
    for counts, expected in ((smooth, 0.0), (heaped, 3_000 / heaped.sum())):
        grouping, estimate = numeric_grouping(
            domain, _grouped(domain, counts, 5.0), [5.0] * domain.depth, 20
        )
        symbols = grouping.symbols
        assert estimate.counts.sum() == pytest.approx(counts.sum(), rel=0.01)
        assert len(estimate.counts) == grouping.groups
        points = np.flatnonzero((symbols.stop - symbols.start == 1) & (symbols.start == 50_000))
        group = np.bincount(symbols.group, minlength=symbols.groups)
        assert (len(points) == 0) == (expected == 0) and len(group) <= 20
        if expected:
            assert symbols.share[points].sum() > 0.9
        covered = np.sort(np.stack([symbols.start, symbols.stop], 1), 0)
        # still a partition of the lattice
        assert (covered[1:, 0] == covered[:-1, 1]).all() and covered[0, 0] == 0


def test_places_follow_the_parent_inside_the_group() -> None:
    domain = column_domain(Column(name="x", kind="continuous", lower=0, upper=999, decimals=0), 16)
    grouping, _ = numeric_grouping(
        domain, _grouped(domain, np.full(16, 100.0), 0.1), [0.1] * domain.depth, 4
    )
    symbols = grouping.symbols
    quantiles = column_quantiles(
        domain,
        symbols,
        symbols,
        np.arange(len(symbols.group)),
        np.full(symbols.groups, 1 / symbols.groups),
    )
    rng = np.random.default_rng(2)
    scores = rng.normal(size=20_000)
    groups = np.full(20_000, symbols.groups - 1)
    for correlation in (0.9, 0.0, -0.9):
        children, positions = quantiles.place(groups, rng.random(20_000), scores, correlation)
        assert (
            (symbols.group[children] == groups).all()
            and (positions >= 0).all()
            and (positions < 1).all()
        )
        correlation_of_draws = np.corrcoef(quantiles.scores(children, positions), scores)[0, 1]
        assert np.sign(np.round(correlation_of_draws, 1)) == np.sign(correlation)
    unknown, _ = quantiles.place(groups, rng.random(20_000), np.full(20_000, np.nan), 0.9)
    assert (symbols.group[unknown] == groups).all()


def test_shares_follow_declared_sizes_unless_they_are_given() -> None:
    settings = TableSettings(epsilon=1.0)
    wide = Shape(numbers=6, ordered=8, columns=24)
    roomy, crowded, thin = (shares(settings, wide, n) for n in (500_000, 27_000, 300))
    # all pairs where they are readable; where they are not, fewer and fewer, chosen privately
    assert roomy.looks == wide.pairs > crowded.looks > thin.looks > 0.1 * wide.pairs
    assert roomy.choice == 0 < crowded.choice and roomy.again > 0 == crowded.again == thin.again
    # single columns first where people are few, and none per class of a target
    assert thin.bins + thin.one_ways > 0.4 > roomy.bins + roomy.one_ways
    assert thin.pivot < 0.01 < roomy.pivot and thin.target > roomy.target
    # coarse counts are for the middle, and for columns with an order
    assert crowded.coarse > max(thin.coarse, roomy.coarse)
    assert shares(settings, Shape(numbers=0, ordered=0, columns=24), 27_000).coarse == 0
    given = shares(TableSettings(epsilon=1.0, choice_share=0.2, looks=0.5), wide, 300)
    assert given.choice == 0.2 and given.looks == wide.pairs // 2
    assert shares(TableSettings(epsilon=1.0, choice_share=0.0), wide, 300).looks == wide.pairs
    with pytest.raises(ValueError, match="leave at least"):
        plan(bill_columns(), (), (), TableSettings(bins_share=0.6, one_ways_share=0.39), N)
