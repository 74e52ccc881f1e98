"""What is publicly known, and what is looked at first: tables that pull where noise is large and
are denied where they are wrong, related pairs, and the private choice among the others.

Noise comes from a seed here, so that nothing fails by chance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from table_cases import run_fit

from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.tape import Tape
from pipeline.models.table.domain.bins import category_grouping, numeric_grouping
from pipeline.models.table.domain.encode import column_domain
from pipeline.models.table.domain.known import (
    KnownColumn,
    group_levels,
    known_columns,
    known_pairs,
)
from pipeline.models.table.domain.trees import consistent_tree, evened_tree
from pipeline.models.table.fit.denoise import denoise
from pipeline.models.table.fit.sequence import marginals_of, measurements_of
from pipeline.models.table.measure.columns import encode_rows
from pipeline.models.table.measure.measurer import Measurer
from pipeline.models.table.measure.shrinkage import towards
from pipeline.models.table.plan.plan import TablePlan, plan
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import (
    Columns,
    Estimate,
    Marginals,
    Measurements,
    NoisyPair,
)
from pipeline.schema.values import Column, Implication, KnownTable, Level

SITES = tuple(f"C{place:02d}" for place in range(20))
SHARES = 0.8 ** np.arange(20) / (0.8 ** np.arange(20)).sum()


def each(*values: str | None) -> tuple[Level, ...]:
    return tuple(Level(values=(value,)) for value in values)


def published(
    name: str,
    columns: Mapping[str, Sequence[Level]],
    shares: np.ndarray | Sequence[float],
    weight: float = 1000.0,
) -> KnownTable:
    whole = np.asarray(shares, float).ravel()
    return KnownTable(
        name=name,
        columns=tuple(columns),
        levels=tuple(tuple(levels) for levels in columns.values()),
        shares=tuple(whole / whole.sum()),
        source="a yearbook",
        year="2018",
        weight=weight,
    )


class Seeded(MeasurementStore):
    """Gives each mechanism its noise from a seed, and keeps what it was handed."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(path)
        self.rng = np.random.default_rng(seed)
        self.exact: dict[str, np.ndarray] = {}

    def get_or_measure(
        self,
        mechanism: NoisyCounts | PrivateChoice,
        counts_fn: Callable[[], np.ndarray],
        noise: NoiseStream,
    ) -> np.ndarray:
        exact = self.exact[mechanism.name] = counts_fn()
        if isinstance(mechanism, PrivateChoice):
            weight = mechanism.epsilon / 2 * exact + self.rng.gumbel(size=exact.shape)
            return np.argsort(-weight)[: mechanism.picks]
        return np.rint(exact + self.rng.normal(0, mechanism.sigma, exact.shape)).astype(np.int64)


def measured(
    rows: pl.DataFrame, table_plan: TablePlan, folder: Path, scale: float, seed: int = 0
) -> tuple[Measurements, Marginals, Seeded]:
    store = Seeded(folder, seed)
    noisy = Measurer(
        table_plan.counts(scale), table_plan.choice(scale), store, Tape(), NoiseStream()
    )
    cells = encode_rows(rows, table_plan.domains())
    found = measurements_of(noisy, cells, table_plan, torch.device("cpu"), lambda line: None)
    return found, marginals_of(table_plan, found), store


def people(n: int, seed: int = 1) -> pl.DataFrame:
    """Sites of which the later half is men's mostly; three columns of coins."""
    rng = np.random.default_rng(seed)
    site = rng.choice(20, n, p=SHARES)
    male = rng.random(n) < np.where(site % 2, 0.9, 0.2)
    return pl.DataFrame(
        {
            "site": np.array(SITES)[site],
            "sex": np.where(male, "M", "F"),
            **{f"coin{k}": np.where(rng.random(n) < 0.5, "up", "down") for k in range(3)},
        }
    )


COLUMNS = {
    "site": Column(name="site", kind="categorical", categories=SITES),
    "sex": Column(name="sex", kind="categorical", categories=("F", "M")),
} | {
    f"coin{k}": Column(name=f"coin{k}", kind="categorical", categories=("up", "down"))
    for k in range(3)
}
MEN = np.where(np.arange(20) % 2, 0.9, 0.2)
BY_SEX = np.stack([SHARES * (1 - MEN), SHARES * MEN], 1)
RIGHT = published("sites of England", {"site": each(*SITES)}, SHARES)
WRONG = published("sites of elsewhere", {"site": each(*SITES)}, SHARES[::-1])
RIGHT_PAIR = published("site by sex", {"site": each(*SITES), "sex": each("F", "M")}, BY_SEX)
WRONG_PAIR = published(
    "site by sex, turned", {"site": each(*SITES), "sex": each("F", "M")}, BY_SEX[:, ::-1]
)


def planned(nominal_size: int, known: Sequence[KnownTable] = (), **settings: object) -> TablePlan:
    values = TableSettings(**{"codes": 50, "steps": 20, "first_steps": 20, **settings})  # type: ignore[arg-type]
    return plan(COLUMNS, (), (), values, nominal_size, known=known)


def site_shares(found: Measurements, marginals: Marginals) -> np.ndarray:
    """Of each category, inside groups of rare ones too."""
    symbols = found.groupings["site"].symbols
    return np.asarray(marginals.margins["site"][symbols.group] * symbols.share)


def site_error(n: int, known: Sequence[KnownTable], folder: Path, scale: float) -> float:
    """Mean distance of the sites' shares from the people's, over eight draws of noise."""
    rows = people(n)
    truth = np.array([float((rows["site"] == site).mean()) for site in SITES])  # type: ignore[arg-type]
    return float(
        np.mean(
            [
                0.5 * np.abs(site_shares(*measured(rows, planned(n, known), folder, scale, s)[:2])
                             - truth).sum()
                for s in range(8)
            ]
        )
    )  # fmt: skip


def test_a_right_table_lowers_the_error_where_people_are_few(tmp_path: Path) -> None:
    without, with_it = (site_error(300, known, tmp_path, 6.0) for known in ((), (RIGHT,)))
    assert without > 0.1 and with_it < 0.6 * without


def test_a_wrong_table_changes_little_where_people_are_many_and_is_told(tmp_path: Path) -> None:
    without, with_it = (site_error(20_000, known, tmp_path, 3.0) for known in ((), (WRONG,)))
    assert with_it < 1.3 * without + 0.002
    known = (WRONG, RIGHT_PAIR)
    model = run_fit(people(20_000), tmp_path, planned(20_000, known, steps=5), 1.0).model
    assert model.notes["known_tables_denied"] == ["sites of elsewhere"]
    model = run_fit(
        people(20_000), tmp_path / "2", planned(20_000, (WRONG_PAIR,), steps=5), 1.0
    ).model
    assert model.notes["known_tables_denied"] == ["site by sex, turned"]


def test_a_wrong_table_pulls_less_than_a_right_one_however_few_they_are(tmp_path: Path) -> None:
    right, wrong, without = (
        site_error(1000, known, tmp_path, 3.0) for known in ((RIGHT,), (WRONG,), ())
    )
    assert right < without and wrong < 1.3 * without


def by_hand(
    counts: Mapping[str, np.ndarray],
    columns: Mapping[str, Column],
    sigma: float,
    pairs: Mapping[tuple[str, str], np.ndarray] | None = None,
) -> Measurements:
    """Categorical columns whose counts are these, every category a group of its own."""
    groupings, estimates = {}, {}
    for name, count in counts.items():
        cells = Estimate(count.astype(float), np.full(len(count), sigma**2))
        groupings[name] = category_grouping(column_domain(columns[name], 64), cells, 64)
        estimates[name] = cells.grouped(groupings[name])
    return Measurements(
        Columns(groupings, estimates),
        {key: NoisyPair(count.astype(float), sigma) for key, count in (pairs or {}).items()},
        {},
        {},
    )


SMALL = {
    "organ": Column(name="organ", kind="categorical", categories=("skin", "lung", "womb")),
    "sex": Column(name="sex", kind="categorical", categories=("F", "M")),
}
DOMAINS = {name: column_domain(column, 64) for name, column in SMALL.items()}
# groups stand in the order of their counts, which is the declared one here
ORGANS = {"organ": np.array([5000, 3000, 2000]), "sex": np.array([6000, 4000])}


def odds(joint: np.ndarray, row: int) -> float:
    return float(joint[0, 0] * joint[row, 1] / (joint[0, 1] * joint[row, 0]))


@pytest.mark.parametrize("turned", [False, True])
def test_a_pair_that_nobody_measured_hangs_together_as_published(turned: bool) -> None:
    """The odds are the table's, the margins are the people's; in whichever order it was printed."""
    shares = np.array([[0.10, 0.20], [0.30, 0.10], [0.25, 0.05]])
    levels = {"organ": each("skin", "lung", "womb"), "sex": each("F", "M")}
    table = published("a", levels, shares, 1e6)
    if turned:
        table = published("a", dict(reversed(levels.items())), shares.T, 1e6)
    marginals = denoise(by_hand(ORGANS, SMALL, 10.0), DOMAINS, {}, tables=(table,))
    joint = marginals.pairs["organ", "sex"]
    for row in (1, 2):
        assert odds(joint, row) == pytest.approx(odds(shares, row), rel=0.02)
    assert joint.sum(1) == pytest.approx([0.5, 0.3, 0.2], abs=1e-3)
    assert joint.sum(0) == pytest.approx([0.6, 0.4], abs=1e-3)
    assert marginals.pair_weights["organ", "sex"] > 0 and marginals.contradicted == ()
    assert ("organ", "sex") not in denoise(by_hand(ORGANS, SMALL, 10.0), DOMAINS, {}).pairs


def test_a_table_that_speaks_of_a_small_part_of_every_group_leaves_no_pair_undefined() -> None:
    """Of five sites that noise hides in one group, the tables speak of two."""
    columns = {
        "organ": SMALL["sex"],
        "site": Column(name="site", kind="categorical", categories=tuple("abcdef")),
        "stage": Column(name="stage", kind="categorical", categories=("1", "2")),
    }
    counts = {
        "organ": np.array([5000, 100]),
        "site": np.array([5000, *[20] * 5]),
        "stage": np.array([3000, 2100]),
    }
    found = by_hand(counts, columns, 60.0)
    assert found.groupings["site"].groups == 2
    early = each("1", "2")
    tables = (
        published("by site", {"site": each("b", "c"), "stage": early}, np.full((2, 2), 0.25)),
        published("by organ", {"organ": each("F", "M"), "stage": early}, np.full((2, 2), 0.25)),
    )
    domains = {name: column_domain(column, 64) for name, column in columns.items()}
    within = np.eye(2)
    marginals = denoise(found, domains, {}, hierarchy={("organ", "site"): within}, tables=tables)
    for pair, joint in marginals.pairs.items():
        assert joint.sum() == pytest.approx(1) and np.isfinite(joint).all()
        assert np.isfinite(marginals.pair_weights[pair]).all()


def test_a_known_zero_is_nearly_one_and_a_forbidden_pair_is_one() -> None:
    shares = np.array([[0.3, 0.2], [0.15, 0.15], [0.2, 0.0]])
    levels = {"organ": each("skin", "lung", "womb"), "sex": each("F", "M")}
    table = published("a", levels, shares, 500)
    joint = denoise(by_hand(ORGANS, SMALL, 10.0), DOMAINS, {}, tables=(table,)).pairs[
        "organ", "sex"
    ]
    assert 0 < joint[2, 1] < 0.5 / 500
    legal = np.array([[True, True], [True, True], [True, False]])
    ruled = denoise(
        by_hand(ORGANS, SMALL, 10.0), DOMAINS, {("organ", "sex"): legal}, tables=(table,)
    )
    assert ruled.pairs["organ", "sex"][2, 1] == 0
    # of a column: a count that noise alone has made goes, at a published zero
    counts = Estimate(np.array([700.0, 300.0, 25.0]), np.full(3, 900.0))
    after, denied = towards(counts, np.array([0.7, 0.3, 0.0]), np.ones(3, bool), 500)
    assert not denied and after.counts[2] < 2 and (after.variances < counts.variances).all()


@pytest.mark.parametrize(("noise", "is_right"), [(150.0, True), (10.0, False)])
def test_a_measured_pair_takes_what_the_counts_bear_out(noise: float, is_right: bool) -> None:
    """A right table under heavy noise is taken over, a wrong one against clear counts is denied."""
    truth = np.array([[0.20, 0.30], [0.25, 0.05], [0.15, 0.05]])
    table = truth if is_right else truth.sum(1, keepdims=True) * truth.sum(0) ** 2 / truth
    levels = {"organ": each("skin", "lung", "womb"), "sex": each("F", "M")}
    known = (published("a", levels, table, 1e4),)
    errors = {}
    for name, tables in (("without", ()), ("with", known)):
        errors[name] = 0.0
        for seed in range(10):
            drawn = np.random.default_rng(seed).normal(0, noise, truth.shape)
            pairs = {("organ", "sex"): 10_000 * truth + drawn}
            found = by_hand(ORGANS, SMALL, noise, pairs)
            marginals = denoise(found, DOMAINS, {}, tables=tables)
            errors[name] += np.abs(marginals.pairs["organ", "sex"] - truth).sum()
            assert bool(marginals.contradicted) == (not is_right and bool(tables))
    assert errors["with"] < (0.7 if is_right else 1.05) * errors["without"]


def test_a_level_of_several_values_is_shared_out_by_the_counts() -> None:
    columns = {"organ": Column(name="organ", kind="categorical", categories=tuple("abcd"),
                               nullable=True)}  # fmt: skip
    domain = column_domain(columns["organ"], 64)
    levels = (Level(values=("a", "b")), Level(values=("c",)))
    known = KnownColumn("organs", 500.0, domain, levels, np.array([0.8, 0.2]))
    shares, covered = known.spread(np.array([300.0, 100.0, 50.0, 500.0, 50.0]), None)
    # of d, and of who is missing, the table does not speak
    assert covered.tolist() == [True, True, True, False, False]
    assert shares[:3] == pytest.approx([0.6, 0.2, 0.2], abs=0.01) and not shares[3:].any()
    before = Estimate(np.array([300.0, 100.0, 50.0, 500.0, 50.0]), np.full(5, 400.0))
    after, _ = towards(before, shares, covered, known.weight)
    assert (after.counts[3:] == before.counts[3:]).all()
    assert after.counts[2] > before.counts[2]  # 50 of 450, a fifth is published
    with_missing = KnownColumn(
        "organs", 500.0, domain, (*levels, Level(values=(None,))), np.array([0.4, 0.1, 0.5])
    )
    assert with_missing.spread(before.counts, None)[0][4] == pytest.approx(0.5)


def tree_sums(leaves: np.ndarray, width: int) -> np.ndarray:
    return np.add.reduceat(leaves, np.arange(0, len(leaves), width))


def test_bands_of_numbers_cover_atoms_and_parts_of_bins() -> None:
    column = Column(name="age", kind="continuous", lower=0, upper=99, decimals=0, atoms=(0.0,),
                    nullable=True)  # fmt: skip
    domain = column_domain(column, 64)
    exact = np.concatenate([np.full(domain.leaves, 10.0), [200.0, 100.0]])
    counts = [
        np.concatenate([tree_sums(exact[:-2], 4 ** (domain.depth - level)), exact[-2:]])
        for level in range(1, domain.depth + 1)
    ]
    grouping, estimate = numeric_grouping(domain, counts, [1.0] * domain.depth, 10)
    bands = (Level(low=0, high=49), Level(low=50, high=99), Level(values=(None,)))
    within = group_levels(domain, grouping.symbols, bands)
    assert within.sum(0) == pytest.approx(np.ones(grouping.groups), abs=1e-9)
    at_zero, missing = grouping.of_cell[domain.leaves], grouping.of_cell[domain.leaves + 1]
    assert within[:, at_zero].tolist() == [1, 0, 0] and within[:, missing].tolist() == [0, 0, 1]
    known = KnownColumn("ages", 1e5, domain, bands, np.array([0.2, 0.7, 0.1]))
    shares, covered = known.spread(estimate.counts, grouping)
    assert covered.all() and within @ shares == pytest.approx([0.2, 0.7, 0.1], abs=0.05)
    # what lies outside every band is not spoken of
    old = group_levels(domain, grouping.symbols, (Level(low=80, high=99),))
    assert old[0, at_zero] == old[0, missing] == 0 and 0.9 < old[0].max() <= 1 and old.sum() < 4


def test_no_source_counts_twice() -> None:
    """Tables of a column alone go before one that holds it among others, and that is asked once."""
    turned = published("by sex", {"sex": each("F", "M"), "site": each(*SITES)}, BY_SEX.T)
    domains = {name: column_domain(column, 64) for name, column in COLUMNS.items()}
    columns = known_columns((RIGHT_PAIR, turned, RIGHT, WRONG), domains)
    assert [table.name for table in columns["site"]] == [RIGHT.name, WRONG.name]
    assert [table.name for table in columns["sex"]] == [RIGHT_PAIR.name]
    pairs = known_pairs((turned, RIGHT_PAIR), list(COLUMNS))
    assert list(pairs) == [("site", "sex")]
    assert [table.name for table in pairs["site", "sex"]] == ["by sex", RIGHT_PAIR.name]
    assert pairs["site", "sex"][0].shares == pytest.approx(BY_SEX)


MANY = {
    f"x{k}": Column(name=f"x{k}", kind="categorical", categories=tuple("abcd")) for k in range(10)
}
PLANTED = (("x0", "x7"), ("x2", "x5"), ("x3", "x9"))


def planted_rows(n: int) -> pl.DataFrame:
    """Ten columns, of which three pairs agree in four of five patients; nothing else is tied."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, (n, 10))
    for one, other in PLANTED:
        codes[:, int(other[1])] = np.where(
            rng.random(n) < 0.8, codes[:, int(one[1])], codes[:, int(other[1])]
        )
    return pl.DataFrame({f"x{k}": np.array(list("abcd"))[codes[:, k]] for k in range(10)})


def many(nominal_size: int, **arguments: object) -> TablePlan:
    settings = TableSettings(codes=100, first_steps=150)
    return plan(MANY, (), (), settings, nominal_size, **arguments)  # type: ignore[arg-type]


def test_related_pairs_are_looked_at_first_and_some_looks_stay_free() -> None:
    free = many(1500)
    assert free.named_pairs == () and free.choice_epsilon is not None
    looks = sum(block.name.startswith("look/") for block in free.blocks)
    triple = many(1500, related=(("x8", "x1"), ("x4", "x0", "x2")))
    room = looks - -(-looks // 3)
    named = (("x1", "x8"), ("x0", "x2"), ("x0", "x4"), ("x2", "x4"))
    assert triple.named_pairs == named[:room] and room >= 1
    names = [block.name for block in triple.blocks]
    assert [name for name in names if name.startswith("pair/")] == [
        f"pair/{a}/{b}" for a, b in triple.named_pairs
    ]
    # as many looks as without, each as strong
    assert sum(name.startswith("look/") for name in names) == looks - len(triple.named_pairs)
    sigmas = {
        block.base_sigma for block in triple.blocks if block.name.startswith(("pair/", "look/"))
    }
    assert max(sigmas) == pytest.approx(min(sigmas), rel=1e-6)
    order = names.index("pair/x1/x8"), names.index("look/0")
    assert order[0] < order[1]


def test_known_pairs_are_looked_at_after_related_ones() -> None:
    table = published("t", {"x6": each(*"abcd"), "x3": each(*"abcd")}, np.ones((4, 4)))
    both = many(4000, related=(("x8", "x1"),), known=(table,))
    assert both.named_pairs[:2] == (("x1", "x8"), ("x3", "x6"))
    assert TablePlan.from_json(json.loads(json.dumps(both.to_json()))) == both
    # where every pair is readable names change nothing
    roomy, named = many(1_000_000), many(1_000_000, related=(("x8", "x1"),), known=(table,))
    assert roomy.named_pairs == named.named_pairs == tuple(combinations(MANY, 2))
    assert roomy.choice_epsilon is named.choice_epsilon is None and roomy.blocks == named.blocks
    assert roomy.dp_event(2.0) == named.dp_event(2.0)


def test_a_table_of_a_column_that_is_not_modelled_is_left_out() -> None:
    table = published("t", {"x6": each(*"abcd"), "elsewhere": each("a", "b")}, np.ones((4, 2)))
    assert many(1500, known=(table,)).known == ()
    assert many(1500, related=(("x6", "elsewhere"),)).named_pairs == ()


def test_what_is_known_moves_no_noise() -> None:
    """A table of one column changes no mechanism: it costs nothing."""
    table = published("t", {"x6": each(*"abcd")}, np.ones(4))
    assert many(1500, known=(table,)).blocks == many(1500).blocks


def test_the_choice_finds_what_is_dependent(tmp_path: Path) -> None:
    table_plan = many(3000)
    found, _, _ = measured(planted_rows(3000), table_plan, tmp_path, 3.0)
    assert len(found.pairs) < 20 and set(PLANTED) <= set(found.pairs)


def test_the_choice_asks_for_what_the_model_does_not_know_yet(tmp_path: Path) -> None:
    table_plan = many(3000, related=(PLANTED[0],))
    assert table_plan.named_pairs == PLANTED[:1]
    found, _, store = measured(planted_rows(3000), table_plan, tmp_path, 3.0)
    assert set(PLANTED) <= set(found.pairs)
    scores = dict(zip(combinations(MANY, 2), store.exact["choice"].tolist(), strict=True))
    others = [score for pair, score in scores.items() if pair not in PLANTED]
    assert min(scores[pair] for pair in PLANTED[1:]) > 500 + max(others)
    assert scores[PLANTED[0]] < scores[PLANTED[1]] - 500


def test_what_implications_forbid_is_expected_to_be_empty(tmp_path: Path) -> None:
    """A pair that the rules explain gives the choice nothing to look for."""
    rule = Implication(given="x0", then="x7", allowed={v: (v,) for v in "abcd"})
    free = many(3000)
    ruled = plan(MANY, (rule,), (), free.settings, 3000)
    rng = np.random.default_rng(2)
    rows = planted_rows(3000).with_columns(x0=pl.Series(rng.choice(list("abcd"), 3000)))
    rows = rows.with_columns(x7=pl.col("x0"))
    place = list(combinations(MANY, 2)).index(("x0", "x7"))
    scores = [
        int(measured(rows, one, tmp_path, 3.0)[2].exact["choice"][place]) for one in (free, ruled)
    ]
    assert scores[1] < scores[0] - 2000


def tree_of(leaves: np.ndarray, sigma: float, depth: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sums = [leaves]
    while len(sums) < depth:
        sums.insert(0, sums[0].reshape(-1, 4).sum(1))
    return [level + rng.normal(0, sigma, len(level)) for level in sums]


def test_a_uniform_date_comes_out_even_and_a_heap_stays() -> None:
    sigmas, points = [15.0] * 4, np.full(256, 7)
    even, heaped = np.full(256, 8.0), np.full(256, 8.0)
    heaped[100] += 1500
    errors = {"consistent": 0.0, "evened": 0.0}
    for seed in range(5):
        tree = consistent_tree(tree_of(even, 15.0, 4, seed), sigmas)
        evened = evened_tree(tree, sigmas, points)
        errors["consistent"] += np.abs(tree[-1] - even).sum()
        errors["evened"] += np.abs(evened[-1] - even).sum()
        assert evened[-1].sum() == pytest.approx(tree[-1].sum())
        heap = consistent_tree(tree_of(heaped, 15.0, 4, seed), sigmas)
        assert evened_tree(heap, sigmas, points)[-1][100] == pytest.approx(1508, abs=100)
    assert errors["evened"] < 0.3 * errors["consistent"]


def test_an_even_spread_is_one_over_the_points_and_a_clear_shape_stays() -> None:
    points = np.where(np.arange(64) < 32, 1, 9)
    uneven = 3.0 * points
    tree = consistent_tree(tree_of(uneven, 0.0, 3, 1), [10.0] * 3)
    assert evened_tree(tree, [10.0] * 3, points)[-1] == pytest.approx(uneven)
    slope = np.linspace(0, 4000, 64)
    tree = consistent_tree(tree_of(slope, 10.0, 3, 1), [10.0] * 3)
    assert evened_tree(tree, [10.0] * 3, np.ones(64))[-1] == pytest.approx(slope, abs=60)


def test_rare_categories_differ_within_their_group_as_far_as_noise_allows() -> None:
    names = tuple(f"r{k:02d}" for k in range(40))
    domain = column_domain(Column(name="c", kind="categorical", categories=("common", *names)), 64)
    counts = np.array([9000.0] + [60.0] * 20 + [5.0] * 20)
    shares = {}
    for sigma in (22.0, 40.0):
        grouping = category_grouping(domain, Estimate(counts, np.full(41, sigma**2)), 64)
        assert grouping.n_merged == 40 and grouping.groups == 2
        shares[sigma] = grouping.symbols.share[1:]
        assert shares[sigma].sum() == pytest.approx(1) and shares[sigma].min() > 0
    assert shares[40.0] == pytest.approx(np.full(40, 1 / 40))
    assert 1.2 < shares[22.0][0] / shares[22.0][-1] < 60 / 5
    negative = Estimate(counts - 40, np.full(41, 900.0))
    assert (category_grouping(domain, negative, 64).symbols.share > 0).all()
