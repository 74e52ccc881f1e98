"""Figures from noisy counts, against tables whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.estimates import numbers, shares, survival
from pipeline.estimates.values import Evidence, Interval, NoisyEstimate, evidence, total_variance
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable
from pipeline.refusal import Refusal
from pipeline.schema.values import EventLog, EventType

SEX = Axis("sex", (Cell(("F",)), Cell(("M",)), Cell((None,))))
RARE = Axis("site", (Cell(("lung",)), Cell(("breast",)), Cell(("bone", "eye"))))
EDGES = np.array([0, 31, 183, 366, 731, 1096, 1827])
SPANS = Axis(
    "survival",
    tuple(
        Cell(low=float(a), high=float(b))
        for a, b in zip(EDGES, [*EDGES[1:] - 1, 9999], strict=True)
    ),
)
ENDS = Axis("end", (Cell(("none",)), Cell(("DEATH",)), Cell(("CENSOR",))))
LOG = EventLog(
    origin="start",
    anchor=None,
    max_events=10,
    first=(),
    types={name: EventType(name=name, terminal=True) for name in ("DEATH", "CENSOR")},
    attributes={},
)
TRIES = 400
# of 95% intervals: fewer than 91% or more than 98.5% of 400 happens by chance once in 5,000 times
LEAST, MOST = 0.91, 0.985


def noisy(
    name: str, axes: tuple[Axis, ...], truth: np.ndarray, sigma: float, seed: int = 0
) -> NoisyTable:
    rng = np.random.default_rng([seed, len(name)])
    return NoisyTable(name, axes, truth + np.rint(rng.normal(0, sigma, truth.shape)), sigma)


def tree(values: np.ndarray, sigma: float, seed: int) -> list[NoisyTable]:
    """Whole numbers from 0 to 63 in three levels, an atom at 99 and missing behind each."""
    levels = []
    for level, nodes in enumerate((4, 16, 64), 1):
        width = 64 // nodes
        cells = [Cell(low=float(i * width), high=float((i + 1) * width - 1)) for i in range(nodes)]
        axis = Axis("age", (*cells, Cell(low=99.0, high=99.0), Cell((None,))))
        inside = values[values < 64].astype(int)
        truth = np.bincount(inside // width, minlength=nodes)
        rest = [(values == 99).sum(), np.isnan(values).sum()]
        levels.append(
            noisy(f"tree/age/{level}", (axis,), np.append(truth, rest), sigma, seed * 10 + level)
        )
    return levels


def covered(truth: float, figure: Callable[[int], NoisyEstimate], part: str) -> float:
    intervals = [getattr(figure(seed), part) for seed in range(TRIES)]
    return float(np.mean([interval.holds(truth) for interval in intervals]))


@pytest.mark.parametrize("share", [0.5, 0.04])
@pytest.mark.parametrize("part", ["source", "population"])
def test_intervals_of_a_share_hold_it_as_often_as_they_say(share: float, part: str) -> None:
    def figure(seed: int) -> NoisyEstimate:
        rng = np.random.default_rng(seed + 7)
        ones = round(2000 * share) if part == "source" else rng.binomial(2000, share)
        table = noisy("one/sex", (SEX,), np.array([ones, 2000 - ones, 0]), 30.0, seed)
        return shares.share([table, *tree(np.zeros(2000), 30.0, seed)], {"sex": ["F"]})

    assert LEAST <= covered(share, figure, part) <= MOST


def test_noise_that_is_left_out_would_be_seen() -> None:
    """The same intervals, had they believed in a third of the noise."""

    def figure(seed: int) -> NoisyEstimate:
        truth = np.array([1000, 1000, 0])
        table = noisy("one/sex", (SEX,), truth, 30.0, seed)
        small = NoisyTable(table.name, table.axes, table.counts, 10.0)
        return shares.share([small], {"sex": ["F"]})

    assert covered(0.5, figure, "source") < LEAST


def test_a_range_is_made_up_of_few_nodes() -> None:
    """0 to 31 is two nodes of the first level, whatever the leaves say."""
    levels = tree(np.repeat(np.arange(64.0), 10), 5.0, 1)
    one = numbers.in_range(levels, (0, 31))
    assert one.variance == pytest.approx(2 * 25)
    assert one.patients == levels[0].counts[:2].sum()
    assert numbers.in_range(levels, (0, 32)).variance == pytest.approx(3 * 25)


def test_a_range_counts_an_atom_within_and_none_without() -> None:
    values = np.append(np.repeat(np.arange(64.0), 10), np.repeat(99.0, 500))
    levels = tree(values, 0.01, 1)
    assert numbers.in_range(levels, (0, 63)).patients == pytest.approx(640, abs=1)
    assert numbers.in_range(levels, (0, 120)).patients == pytest.approx(1140, abs=1)
    assert numbers.in_range(levels, (99, 99)).patients == pytest.approx(500, abs=1)


def test_of_a_leaf_that_a_range_cuts_a_part_counts() -> None:
    axis = Axis("dose", (Cell(low=0.0, high=10.0), Cell(low=20.0, high=30.0)))
    table = NoisyTable("tree/dose/1", (axis,), np.array([100.0, 50.0]), 1.0)
    one = numbers.in_range([table], (5.0, 40.0))
    assert one.patients == pytest.approx(0.5 * 100 + 50)
    assert one.variance == pytest.approx(0.25 + 1)


@pytest.mark.long
@pytest.mark.parametrize("part", ["source", "population"])
def test_intervals_of_a_mean(part: str) -> None:
    people = np.repeat(np.arange(64.0), 30)

    def figure(seed: int) -> NoisyEstimate:
        rng = np.random.default_rng(seed + 3)
        values = people if part == "source" else rng.choice(people, len(people))
        return numbers.mean(tree(values, 20.0, seed), "age")

    assert LEAST <= covered(people.mean(), figure, part) <= MOST


def life(n: int, hazards: np.ndarray, seed: int, sigma: float) -> survival.LifeTable:
    """Patients with these chances of death by span; a third is censored somewhere."""
    rng = np.random.default_rng(seed)
    deaths, censored, left = np.zeros(7), np.zeros(7), n
    for span, hazard in enumerate(hazards):
        gone = rng.binomial(left, 0.05)
        deaths[span] = rng.binomial(left - gone // 2, hazard)
        censored[span] = min(gone, left - deaths[span])
        left -= int(deaths[span] + censored[span])
    censored[-1] += left
    counts = np.stack([np.zeros(7), deaths, censored], 1)
    table = noisy("pathway/survival/end", (SPANS, ENDS), counts, sigma, seed)
    return survival.life_table([table], LOG, {})


HAZARDS = np.array([0.03, 0.08, 0.08, 0.1, 0.08, 0.1, 0.0])


@pytest.mark.parametrize("day", [366, 1827])
def test_intervals_of_survival(day: int) -> None:
    spans = list(EDGES).index(day)
    truth = float(np.prod(1 - HAZARDS[:spans]))

    def figure(seed: int) -> NoisyEstimate:
        return survival.survival(life(4000, HAZARDS, seed, 25.0), day)

    assert LEAST <= covered(truth, figure, "population") <= MOST


def test_where_noise_covers_those_under_risk_nothing_is_told() -> None:
    estimate = survival.survival(life(50, HAZARDS, 1, 100.0), 366)
    assert (estimate.source.low, estimate.source.high) == (0.0, 1.0)
    assert math.isnan(estimate.value)
    tables = life(50, HAZARDS, 1, 100.0), life(4000, HAZARDS, 2, 1.0)
    assert survival.hazard_ratio(*tables).source.high == math.inf


def test_intervals_of_a_hazard_ratio() -> None:
    """Proportional on the scale of the complementary log-log."""
    ratio = 1.8
    faster = 1 - (1 - HAZARDS) ** ratio

    def figure(seed: int) -> NoisyEstimate:
        return survival.hazard_ratio(
            life(3000, faster, seed, 15.0), life(3000, HAZARDS, seed + 10_000, 15.0)
        )

    assert LEAST <= covered(ratio, figure, "population") <= MOST


def test_tables_that_tell_the_same_count_together() -> None:
    truth = np.array([600, 400, 0])
    tables = [noisy(f"one/{i}", (SEX,), truth, 20.0, i) for i in range(4)]
    assert shares.count_of(tables, {"sex": ["F"]}).variance == pytest.approx(400 / 4)


def test_a_value_in_a_group_of_rare_ones_is_refused() -> None:
    table = noisy("pair/site/sex", (RARE, SEX), np.ones((3, 3)), 1.0)
    assert shares.count_of([table], {"site": ["bone", "eye"]}).variance == 3
    with pytest.raises(Refusal, match="whole categories"):
        shares.count_of([table], {"site": ["bone"]})


def test_two_columns_that_no_table_holds_are_refused() -> None:
    tables = [
        noisy("one/sex", (SEX,), np.ones(3), 1.0),
        noisy("one/site", (RARE,), np.ones(3), 1.0),
    ]
    with pytest.raises(Refusal, match="sex with site"):
        shares.share(tables, {"sex": ["F"], "site": ["lung"]})


@pytest.mark.parametrize(
    ("figure", "low", "high", "sign"),
    [
        (0.30, 0.29, 0.31, Evidence.RELIABLE),
        (0.30, 0.26, 0.34, Evidence.INDICATIVE),
        (0.30, 0.10, 0.14, Evidence.INDICATIVE),
        (0.01, 0.0, 0.02, Evidence.NOISE),
        (0.0, 0.0, 0.02, Evidence.NOISE),
        (math.nan, 0.1, 0.2, Evidence.NOISE),
    ],
)
def test_the_meter(figure: float, low: float, high: float, sign: Evidence) -> None:
    assert evidence(figure, Interval(low=low, high=high)) is sign


def test_noise_that_all_sets_share_is_no_smaller_with_more_of_them() -> None:
    assert total_variance(1.0, 2.0, 3.0, 1) == 6.0
    assert total_variance(1.0, 2.0, 3.0, 10**9) == pytest.approx(4.0)
