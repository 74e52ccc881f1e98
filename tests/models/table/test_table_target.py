"""Targets drawn from all other columns at once, and what is measured next: chosen from noisy
counts, worth what it costs.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from table_cases import run_fit

from pipeline.models.table.measure.selection import (
    closest_pairs,
    strongest_pairs,
    target_ordered_groups,
)
from pipeline.models.table.plan.plan import plan
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import NoisyPair
from pipeline.schema.values import Column

CAUSES = tuple(f"x{k}" for k in range(4))


def relapse_rows(n: int, seed: int) -> pl.DataFrame:
    """Four coins; a relapse where exactly one of the first two is up mostly, more often where the
    others are.
    """
    rng = np.random.default_rng(seed)
    coins = rng.random((n, len(CAUSES))) < 0.5
    chance = np.where(coins[:, 0] ^ coins[:, 1], 0.7, 0.1) + 0.1 * coins[:, 2] + 0.1 * coins[:, 3]
    return pl.DataFrame(
        {
            **{name: np.where(coins[:, k], "up", "down") for k, name in enumerate(CAUSES)},
            "relapse": np.where(rng.random(n) < chance, "yes", "no"),
        }
    )


def relapse_columns() -> dict[str, Column]:
    return {
        name: Column(name=name, kind="categorical", categories=("down", "up")) for name in CAUSES
    } | {"relapse": Column(name="relapse", kind="categorical", categories=("no", "yes"))}


def by_causes(rows: pl.DataFrame) -> dict[object, float]:
    """Share of relapses for each combination of coins."""
    return {key: float((group["relapse"] == "yes").mean()) for key, group in rows.group_by(CAUSES)}  # type: ignore[arg-type]


@pytest.mark.parametrize(("targets", "most"), [(("relapse",), 0.15), ((), 1.0)])
def test_a_target_keeps_what_several_columns_say_together(
    targets: tuple[str, ...], most: float, tmp_path: Path
) -> None:
    """Neither of the first two coins says anything alone, so no pair of columns can tell: without a
    target it is lost.
    """
    table_plan = plan(
        relapse_columns(), (), targets, TableSettings(epsilon=3.0, codes=100, steps=200), 10_000
    )
    model = run_fit(relapse_rows(10_000, 1), tmp_path, table_plan, 4.0).model
    draws, truth = (
        by_causes(model.sample(40_000, np.random.default_rng(2))),
        by_causes(relapse_rows(200_000, 3)),
    )
    worst = max(abs(draws[key] - truth[key]) for key in truth)
    assert worst < most and (targets or worst > 0.2)


def test_a_prompt_on_a_target_is_the_filtered_draw(tmp_path: Path) -> None:
    table_plan = plan(
        relapse_columns(),
        (),
        ("relapse",),
        TableSettings(epsilon=3.0, codes=100, steps=200),
        10_000,
    )
    model = run_fit(relapse_rows(10_000, 1), tmp_path, table_plan, 4.0).model
    filtered = model.sample(80_000, np.random.default_rng(2)).filter(pl.col("relapse") == "yes")
    prompted = model.sample(20_000, np.random.default_rng(3), {"relapse": ("yes",)})
    assert len(prompted) == 20_000 and set(prompted["relapse"]) == {"yes"}
    for a, b in combinations(CAUSES, 2):
        both = [
            float(((rows[a] == "up") & (rows[b] == "up")).mean()) for rows in (filtered, prompted)
        ]  # type: ignore[arg-type]
        assert both[0] == pytest.approx(both[1], abs=0.02), (a, b)


def noisy_pair(dependence: float, seed: int, sigma: float = 20.0, size: int = 6) -> NoisyPair:
    noise = np.random.default_rng(seed).normal(0, sigma, (size, size))
    joint = dependence * np.eye(size) / size + (1 - dependence) / size**2
    return NoisyPair(10_000 * joint + noise, sigma)


def test_the_second_look_goes_to_dependent_pairs() -> None:
    pairs = {
        ("a", "b"): noisy_pair(0.0, 1),
        ("a", "c"): noisy_pair(0.5, 2),
        ("b", "c"): noisy_pair(0.1, 3),
        ("c", "d"): noisy_pair(0.0, 4),
    }
    assert strongest_pairs(pairs, 2) == [("a", "c"), ("b", "c")]
    # a look under heavy noise changes nothing
    both = {
        pair: one.with_another(noisy_pair(0.0, 9 + place, sigma=2_000.0))
        for place, (pair, one) in enumerate(pairs.items())
    }
    assert strongest_pairs(both, 2) == [("a", "c"), ("b", "c")]


def test_a_twin_of_a_close_column_is_not_close() -> None:
    """b says of t what a says already; c says less, but something else."""
    strong = np.array([[4000.0, 1000.0], [1000.0, 4000.0]])
    weak = np.array([[3000.0, 2000.0], [2000.0, 3000.0]])
    counts = {
        ("a", "b"): np.diag([5000.0, 5000.0]),
        ("a", "c"): np.full((2, 2), 2500.0),
        ("a", "t"): strong,
        ("b", "c"): np.full((2, 2), 2500.0),
        ("b", "t"): strong,
        ("c", "t"): weak,
    }
    pairs = {pair: NoisyPair(count, 10.0) for pair, count in counts.items()}
    assert closest_pairs("t", pairs, 2) == [("a", "c")]
    assert len(closest_pairs("t", pairs, 9)) == 3
    # columns that were never counted together may each be close
    with_target = {pair: one for pair, one in pairs.items() if "t" in pair}
    assert len(closest_pairs("t", with_target, 3)) == 3


def test_coarse_groups_merge_what_is_alike_in_the_target() -> None:
    counts = np.array([[900.0, 100.0, 880.0, 120.0], [100.0, 900.0, 120.0, 880.0]])
    merged = target_ordered_groups(NoisyPair(counts, 5.0), 2)
    assert merged[0] == merged[2] != merged[1] == merged[3]
    assert set(target_ordered_groups(NoisyPair(np.zeros((2, 3)), 5.0), 2)) <= {0, 1}
