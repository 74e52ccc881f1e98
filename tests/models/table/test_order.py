"""Declared order and equality of numbers: kept in every row that is drawn, with and without
prompts, for nothing; the dependence stays; who breaks them in a source is counted.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path
from textwrap import dedent

import numpy as np
import polars as pl
import pytest

from pipeline.checks.synthetic_gate import check_synthetic, static_breaches
from pipeline.draw_plan import plan_of
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.models.table.domain.encode import column_domain
from pipeline.models.table.domain.order import ordered_positions, with_order
from pipeline.models.table.draw.decode import numeric_values
from pipeline.models.table.draw.independence import independent_pairs
from pipeline.models.table.values.symbols import Symbols
from pipeline.params import PrivacyParams, TrainParams
from pipeline.refusal import Refusal
from pipeline.released.card import _independent, facts
from pipeline.released.card_limits import ModelFacts
from pipeline.restricted.ingest.model_form import faults
from pipeline.restricted.train import fit_public
from pipeline.schema.document import DeclarationError
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.static_rules import order_pairs
from pipeline.schema.values import Column, Schema

TEXT = """
    dataset: toy
    title: A toy
    source: made up
    public: true
    layout: table
    population: {name: toy, universe: nobody, kind: simulated, nominal_size: 5000, epsilon: 10, delta: 1.0e-6, ceiling_epsilon: 20}
    tables:
      toy:
        file: toy
        patient: id
        columns:
          id: {kind: id, role: key}
          stage: {kind: ordinal, categories: ["1", "2", "3", "4"], source: tests}
          coin: {kind: categorical, categories: [heads, tails], source: tests}
          death: {kind: continuous, lower: 0, upper: 120, decimals: 1, atoms: [0], source: tests}
          relapse: {kind: continuous, lower: 0, upper: 120, nullable: true, source: tests}
          s2: {kind: continuous, lower: 0, upper: 1, decimals: 3, source: tests}
          s6: {kind: continuous, lower: 0, upper: 1, decimals: 3, source: tests}
          s12: {kind: continuous, lower: 0, upper: 1, decimals: 3, source: tests}
          score: {kind: continuous, lower: 0, upper: 100, nullable: true, source: tests}
          began: {kind: date, lower: 2010-01-01, upper: 2012-12-31, source: tests}
          score_again: {kind: continuous, lower: 0, upper: 100, nullable: true, source: tests}
          ended: {kind: date, lower: 2010-01-01, upper: 2015-12-31, nullable: true, source: tests}
    """
RULES = """
    order: [[relapse, death], [s12, s6, s2], [began, ended]]
    equal: [score, score_again]
    targets: [stage]
    """
CHAINS = [("relapse", "death"), ("s12", "s6"), ("s6", "s2"), ("s12", "s2"), ("began", "ended")]
PROMPTS = [
    None,
    {"death": (20, 60)},
    {"death": [0.0]},
    {"relapse": (30, 30)},
    {"relapse": [None], "stage": ["4"]},
    {"s6": (0.5, 0.6), "s2": (0.55, 0.7)},
    {"s2": (0.0, 0.5)},
    {"began": ("2012-06-01", "2012-12-31")},
    {"ended": ("2010-03-01", "2010-05-01")},
    {"score_again": (50, 60)},
    {"score": [None]},
]


def declared(folder: Path, text: str) -> Schema:
    path = folder / "toy.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_schema(path)


def people(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    stage = rng.integers(1, 5, n)
    relapse = np.minimum(np.floor(rng.exponential(60 / stage)), 110)
    death = np.minimum(relapse + rng.exponential(30 / stage), 120).round(1)
    hazard = rng.gamma(2, 0.01 * stage, n)
    s6 = np.exp(-6 * hazard).round(2)
    began = rng.integers(0, 1000, n)
    days = [date(2010, 1, 1) + timedelta(days=int(day)) for day in began]
    score = np.clip(np.rint(40 + 10 * stage + rng.normal(0, 8, n)), 0, 100)
    rows = pl.DataFrame(
        {
            ID: range(n),
            "stage": stage.astype(str),
            "coin": rng.choice(["heads", "tails"], n),
            "death": death,
            "relapse": relapse.astype(int),
            "s2": np.maximum(np.exp(-2 * hazard).round(3), s6),
            "s6": s6,
            "s12": np.minimum(np.exp(-12 * hazard).round(3), s6),
            "score": score.astype(int),
            "began": days,
            "ended": [
                day + timedelta(days=int(d))
                for day, d in zip(days, rng.exponential(200, n).clip(max=1000), strict=True)
            ],
        }
    ).with_columns(score_again=pl.col("score"))
    for names in (["relapse"], ["ended"], ["score", "score_again"]):
        gone = pl.Series(rng.random(n) < 0.2)
        rows = rows.with_columns(pl.when(~gone).then(pl.col(name)).alias(name) for name in names)
    return rows.select(ID, "stage", "coin", "death", "relapse", "s2", "s6", "s12", "score",
                       "began", "score_again", "ended")  # fmt: skip


TRAIN = TrainParams(shares={"table": 0.5, "pathway": 0.5}, table={"steps": 250, "codes": 200},
                    pathway={}, device="cpu", checkpoint_steps=50)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    folder = tmp_path_factory.mktemp("order")
    schema = declared(folder, TEXT + RULES)
    fit_public(schema, people(5000, 1), None, 5.0, 1e-6, TRAIN, folder / "model")
    return Synthesizer.load(folder / "model")


def broken(rows: pl.DataFrame) -> dict[str, int]:
    counts = {
        f"{low} <= {high}": rows.select((pl.col(low) > pl.col(high)).sum()).item()
        for low, high in CHAINS
    }
    differing = pl.col("score").ne_missing(pl.col("score_again")).sum()
    return {name: n for name, n in {**counts, "copy": rows.select(differing).item()}.items() if n}


@pytest.mark.parametrize("where", PROMPTS, ids=str)
def test_no_row_breaks_what_is_declared(model: Synthesizer, where: dict | None) -> None:
    (log,) = model.sample(4000, seed=2, partition_rows=4000, plan=plan_of({"where": where or {}}))
    assert log.patients.height == 4000
    assert log.patients.columns == people(1, 1).columns
    assert broken(log.patients) == {}
    assert static_breaches(model.schema, log.patients) == []
    for name, (low, high) in ((k, v) for k, v in (where or {}).items() if isinstance(v, tuple)):
        values = log.patients[name]
        ends = [date.fromisoformat(e) if isinstance(e, str) else e for e in (low, high)]
        assert values.is_between(*ends).all()


def test_the_dependence_stays(model: Synthesizer) -> None:
    real = people(5000, 1)
    (log,) = model.sample(5000, seed=3, partition_rows=5000)
    for low, high in [*CHAINS[:4], ("score", "score_again")]:
        then, now = (
            rows.drop_nulls([low, high]).select(pl.corr(low, high)).item()
            for rows in (real, log.patients)
        )
        assert now > then - 0.15, (low, high, then, now)
    for name in ("death", "relapse", "s2", "s6", "s12", "score"):
        spread = real[name].std()
        assert abs(log.patients[name].mean() - real[name].mean()) < 0.15 * spread, name
    assert log.patients["relapse"].null_count() / 5000 == pytest.approx(0.2, abs=0.04)


def test_they_cost_nothing_and_say_nothing_where_there_are_none(tmp_path: Path) -> None:
    def planned(text: str) -> Plan:
        return joint_plan(declared(tmp_path, text), PrivacyParams(epsilon=1.0, delta=1e-6), TRAIN)

    free, ruled = planned(TEXT), planned(TEXT + RULES)
    assert not free.table.orders and not free.table.copies
    assert len(ruled.table.orders) == len(CHAINS) and len(ruled.table.copies) == 1
    kinds = ("tree/", "one/", "coarse/", "pair/")
    before, after = (
        [block.name for block in plan.table.blocks if block.name.startswith(kinds)]
        for plan in (free, ruled)
    )
    assert after == [name for name in before if "score_again" not in name]
    # a choice is one among the pairs of what is modelled
    columns = len(free.table.columns)
    assert [plan.table.choice(1.0).candidates for plan in (free, ruled)] == [
        columns * (columns - 1) // 2, (columns - 1) * (columns - 2) // 2,
    ]  # fmt: skip
    assert Plan.from_json(json.loads(json.dumps(ruled.to_json()))) == ruled


def test_a_condition_on_a_copy_is_one_on_what_it_repeats(model: Synthesizer) -> None:
    with pytest.raises(Refusal, match="one condition for both"):
        model.table.sampler({"score": "1..50", "score_again": "1..9"})
    with pytest.raises(Refusal, match="no value of"):
        model.table.sampler({"relapse": "90..99", "death": "1..9"})


def test_the_gate_names_what_is_broken(model: Synthesizer) -> None:
    (log,) = model.sample(50, seed=1, partition_rows=50)
    wrong = log.patients.with_columns(s12=pl.lit(1.0), score_again=pl.lit(1))
    failures = check_synthetic(model.schema, {}, PatientLog(wrong)).failures
    assert failures == ("table toy is missing",)
    assert static_breaches(model.schema, wrong) == [
        "s12 is above s6", "s12 is above s2", "score_again is not score",
    ]  # fmt: skip


def test_a_patient_who_breaks_them_is_dropped_and_counted(model: Synthesizer) -> None:
    rows = people(6, 1).with_columns(
        death=pl.Series([1.0, 50.0, 50.0, 50.0, 50.0, 50.0]),
        relapse=pl.Series([2, 50, None, 50, 50, 50]),
        score=pl.Series([1, 1, None, None, 1, 1]),
        score_again=pl.Series([1, 1, None, 1, 1, 2]),
    )
    found = faults(model.schema, PatientLog(rows)).filter(pl.col("reason").str.contains("model"))
    assert sorted(found.rows()) == [
        (0, "model form: relapse is above death"),
        (3, "model form: score_again is not score"),
        (5, "model form: score_again is not score"),
    ]


def test_columns_that_nothing_joins_are_on_the_card(model: Synthesizer) -> None:
    heads = model.table.table
    even = np.tile(heads["coin"].mean(0), (len(heads["coin"]), 1))
    pairs = independent_pairs(replace(model.table, table={**heads, "coin": even}))
    assert [pair for pair in pairs if "coin" in pair] == [
        tuple(sorted(("coin", name), key=list(heads).index)) for name in heads
        if name not in ("coin", "stage")  # a target depends on all columns
    ]  # fmt: skip
    assert not {("death", "relapse"), ("s2", "s6"), ("s6", "s12")} & set(pairs)
    card = facts(model.schema, release_id="one-1", source_label="x", rows=1, extract_date=None,
                 code_version="0", privacy={}, approval={}, drawn_from=None,
                 model=ModelFacts([("coin", "death"), ("coin", "s2"), ("death", "s2")]))  # fmt: skip
    assert card["independent_pairs"] == [["coin", "death"], ["coin", "s2"], ["death", "s2"]]
    assert _independent(card["independent_pairs"])[2:4] == [
        "- `coin` of `death`, `s2`", "- `death` of `s2`",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ("order: [[relapse, deth]]", "no static column named 'deth'"),
        ("order: [[relapse]]", "at least two columns"),
        ("order: [relapse, relapse]", "listed twice"),
        ("order: [[relapse, stage]]", "numbers only, or dates only"),
        ("order: [[relapse, began]]", "numbers only, or dates only"),
        ("order: [[relapse, death], [death, relapse]]", "goes in a circle"),
        ("order: [[s2, s6, s12], [s12, s2]]", "goes in a circle"),
        ("order: [[s2, s6, score]]", "give all of them decimals: 3"),
        ("order: [[relapse, death], [score, relapse]]", "give all of them decimals: 1"),
        ("order: relapse", "must be a list"),
        ("order: {relapse: death}", "must be a list"),
        ("order: [[relapse, [death]]]", "single values"),
        ("equal: [score, death]", "declared with other"),
        ("equal: [[score, score_again], [score_again, score]]", "stands in two groups"),
        ("equal: [score, score_again]\n    order: [relapse, score_again]", "is a copy of score"),
        ("equal: [score, score_again]\n    targets: [score_again]", "is a copy of score"),
    ],
)
def test_what_cannot_hold_is_refused_when_it_is_read(tmp_path: Path, rules: str, what: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declared(tmp_path, f"{TEXT.rstrip()}\n    {rules}\n")
    assert what in str(caught.value) and "toy.yaml:" in str(caught.value)


def test_chains_that_share_a_column_are_one_order() -> None:
    pairs = order_pairs([["b", "c"], ["a", "b"], ["a", "d"]])
    assert set(pairs) == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "c")}
    assert pairs.index(("a", "b")) < pairs.index(("b", "c"))


def symbols_at_random(rng: np.random.Generator, points: int, atom: int) -> Symbols:
    """A grid of ranges, one atom, and missing."""
    cuts = np.unique(np.concatenate([[0, points], rng.integers(1, points, 6)]))
    n = len(cuts) + 1
    return Symbols(
        group=np.arange(n),
        share=np.ones(n),
        start=np.concatenate([cuts[:-1], [0, 0]]),
        stop=np.concatenate([cuts[1:], [0, 0]]),
        atom=np.array([-1] * (n - 2) + [atom, -1]),
        missing=np.arange(n) == n - 1,
    )


@pytest.mark.parametrize("seed", range(30))
def test_values_are_ordered_within_any_symbols(seed: int) -> None:
    """Grids, places, atoms and chains at random: legal symbols always leave ordered values, and a
    value that nothing binds stays where it was.
    """
    rng = np.random.default_rng(seed)
    domains, symbols = {}, {}
    all_places = int(rng.integers(0, 4))
    is_pair = seed % 3 == 0  # of two columns each may have places of its own
    for name in "abcd":
        places = int(rng.integers(0, 4)) if is_pair else all_places
        lower = float(rng.integers(-3, 3))
        column = Column(name=name, kind="continuous", lower=lower, upper=lower + 5,
                        decimals=places, atoms=(lower + 2,), nullable=True)  # fmt: skip
        domains[name] = column_domain(column, 16)
        symbols[name] = symbols_at_random(rng, 5 * 10**places + 1, 0)
    chains = [list(rng.permutation(list("abcd"))[:3]), ["a", "d"]]
    if is_pair:
        chains = [["a", "b"], ["d", "c"]]
    elif {"a", "d"} <= set(chains[0]) and chains[0].index("d") < chains[0].index("a"):
        chains.pop()
    orders = order_pairs(chains)
    matrices = with_order({}, domains, symbols, orders)
    rows = {name: rng.integers(0, len(one.group), 4000) for name, one in symbols.items()}
    legal = np.ones(4000, bool)
    for (first, second), matrix in matrices.items():
        legal &= matrix[rows[first], rows[second]]
    rows = {name: one[legal] for name, one in rows.items()}
    positions = {name: rng.random(legal.sum()) for name in rows}
    placed = ordered_positions(domains, symbols, rows, positions, orders)
    values = {n: numeric_values(domains[n], symbols[n], rows[n], placed[n]) for n in rows}
    assert legal.sum() > 100
    for low, high in orders:
        assert not (values[low] > values[high]).any(), (low, high)
    for name in rows:
        assert ((placed[name] >= 0) & (placed[name] < 1)).all()
        if name not in {one for pair in orders for one in pair}:
            assert (placed[name] == positions[name]).all()
    assert len(list(combinations(orders, 2))) > 0
