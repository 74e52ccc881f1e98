"""What reads rows: one patient moves one cell of each block, and each score of the private choice,
by one; nothing is measured twice; the tape is what was accounted.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from table_cases import (
    Fitted,
    run_fit,
    simulated_columns,
    simulated_implications,
    simulated_plan,
    simulated_rows,
)

from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.tape import Tape
from pipeline.models.table.fit.sequence import measurements_of
from pipeline.models.table.measure.columns import encode_rows
from pipeline.models.table.measure.measurer import Measurer
from pipeline.models.table.plan.plan import TablePlan, plan
from pipeline.models.table.plan.settings import TableSettings, from_mapping

ROWS = simulated_rows(400, 1)
ODD: dict[str, dict[str, object]] = {
    "ordinary": {},
    "all null": dict.fromkeys(ROWS.columns),
    "not a number": {"cost": float("nan")},
    "infinite": {"cost": float("inf")},
    "minus infinite": {"cost": float("-inf")},
    "out of range": {"cost": 1e300, "age": -4, "gleason": 10**9},
    "unknown category": {"site": "toe", "sex": "?", "stage": "", "spread": "M9"},
    "atom": {"cost": 0.0},
}


class Recorder(MeasurementStore):
    """Keeps what mechanisms are handed before noise, and answers with it, with the largest scores,
    or with a fixed recording: only tests may look.
    """

    def __init__(self, path: Path, frozen: dict[str, np.ndarray] | None = None) -> None:
        super().__init__(path)
        self.exact: dict[str, np.ndarray] = {}
        self.answers: dict[str, np.ndarray] = {}
        self.frozen = frozen

    def get_or_measure(
        self,
        mechanism: NoisyCounts | PrivateChoice,
        counts_fn: Callable[[], np.ndarray],
        noise: NoiseStream,
    ) -> np.ndarray:
        assert mechanism.name not in self.exact, "measured twice"
        exact = self.exact[mechanism.name] = counts_fn()
        answer = exact
        if isinstance(mechanism, PrivateChoice):
            assert len(exact) <= mechanism.candidates
            answer = np.argsort(-exact, kind="stable")[: mechanism.picks]
        self.answers[mechanism.name] = answer
        return answer if self.frozen is None else self.frozen[mechanism.name]


def recorded(
    rows: pl.DataFrame,
    table_plan: TablePlan,
    folder: Path,
    frozen: dict[str, np.ndarray] | None = None,
) -> Recorder:
    recorder = Recorder(folder, frozen)
    noisy = Measurer(
        table_plan.counts(1.0), table_plan.choice(1.0), recorder, Tape(), NoiseStream()
    )
    cells = encode_rows(rows, table_plan.domains())
    measurements_of(noisy, cells, table_plan, torch.device("cpu"), lambda line: None)
    return recorder


PLANS = {
    "few people, a choice": simulated_plan(nominal_size=400, first_steps=10),
    "coarse counts and a choice": simulated_plan(
        nominal_size=2000, first_steps=10, coarse_share=0.3
    ),
    "every pair": simulated_plan(nominal_size=400, looks=1.0),
}


def test_the_plans_that_are_walked_have_every_mechanism() -> None:
    few, coarse, every = PLANS.values()
    kinds = {
        name: {block.name.split("/")[0] for block in table_plan.blocks}
        for name, table_plan in PLANS.items()
    }
    assert few.choice(1.0) and coarse.choice(1.0) and not every.choice(1.0)
    assert set().union(*kinds.values()) == {
        "tree", "one", "coarse", "pair", "look", "target", "pivot",
    }  # fmt: skip


@pytest.mark.parametrize("table_plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("kind", ODD)
def test_one_more_row_moves_one_cell_of_each_block_and_each_score_by_one(
    kind: str, table_plan: TablePlan, tmp_path: Path
) -> None:
    her = pl.DataFrame([{**ROWS.row(3, named=True), **ODD[kind]}], schema=ROWS.schema, strict=False)
    # bins and picks come from what was measured before: the same answers for both neighbours
    frozen = recorded(ROWS, table_plan, tmp_path).answers
    before = recorded(ROWS, table_plan, tmp_path, frozen).exact
    after = recorded(pl.concat([ROWS, her]), table_plan, tmp_path, frozen).exact
    choice = ["choice"] if table_plan.choice(1.0) else []
    assert before.keys() == after.keys() == {*(b.name for b in table_plan.blocks), *choice}
    for block in table_plan.blocks:
        moved = after[block.name].astype(np.int64) - before[block.name]
        assert np.count_nonzero(moved) == 1 and moved.max() == 1, block.name
        assert before[block.name].size <= block.cells
    for name in choice:
        assert before[name].dtype == np.int64 and len(before[name]) == 36
        assert (np.abs(after[name] - before[name]) == 1).all()


def test_a_second_row_of_a_patient_is_not_read(tmp_path: Path) -> None:
    table_plan = PLANS["few people, a choice"]
    named = ROWS.with_row_index("patient_id")
    twice = pl.concat(
        [named, named.reverse().head(30).with_columns(sex=pl.lit("F"), age=pl.lit(99, pl.Int64))]
    )
    once = recorded(named, table_plan, tmp_path).exact
    again = recorded(twice, table_plan, tmp_path).exact
    assert once.keys() == again.keys()
    assert all((once[name] == again[name]).all() for name in once)


def test_counts_of_no_rows_at_all_are_zero(tmp_path: Path) -> None:
    table_plan = PLANS["few people, a choice"]
    exact = recorded(ROWS.clear(), table_plan, tmp_path).exact
    assert all((exact[block.name] == 0).all() for block in table_plan.blocks)
    assert len(exact["choice"]) == 36  # what there is to choose from is declared


def kinds_of(table_plan: TablePlan) -> dict[str, int]:
    names = [block.name for block in table_plan.blocks]
    assert len(names) == len(set(names))
    return dict(Counter(name.split("/")[0] for name in names))


def used(table_plan: TablePlan) -> float:
    """Of the squared noise budget at scale 1: counts and, of each pick, epsilon squared over 3."""
    picks = kinds_of(table_plan).get("look", 0)
    choice = picks * (table_plan.choice_epsilon or 0.0) ** 2 / 3
    return choice + sum(block.base_sigma**-2 for block in table_plan.blocks)


@pytest.mark.parametrize("nominal_size", [300, 12_000, 100_000])
def test_the_plan_is_a_function_of_the_declaration_alone(nominal_size: int) -> None:
    table_plan = simulated_plan(nominal_size)
    assert table_plan == simulated_plan(nominal_size)
    again = TablePlan.from_json(json.loads(json.dumps(table_plan.to_json())))
    assert again == table_plan and again.dp_event(2.5) == table_plan.dp_event(2.5)
    assert used(table_plan) == pytest.approx(1.0, rel=0.06)  # weights stand on a grid of tenths
    # sex stands in implications: it is drawn in declared order
    assert table_plan.targets == ("relapse",)
    kinds = kinds_of(table_plan)
    # five columns of categories, four numbers: whose counts come from their trees
    assert kinds["one"] == 5 and kinds["target"] == 8 and kinds["pivot"] == 10
    trees = {b.name.split("/")[1] for b in table_plan.blocks if b.name.startswith("tree/")}
    assert trees == {"age", "cost", "gleason", "diagnosed"}


def test_every_pair_is_looked_at_where_it_is_readable_and_few_where_it_is_not() -> None:
    thin, few, roomy = (simulated_plan(n) for n in (300, 12_000, 100_000))
    assert roomy.choice_epsilon is None and len(roomy.named_pairs) == 36
    assert kinds_of(roomy)["pair"] == 36 and kinds_of(roomy)["look"] == math.ceil(0.4 * 36)
    for table_plan in (thin, few):
        choice = table_plan.choice(1.0)
        assert choice and not table_plan.named_pairs and "pair" not in kinds_of(table_plan)
        assert choice.picks == kinds_of(table_plan)["look"] and choice.candidates == 36
    assert kinds_of(thin)["look"] < kinds_of(few)["look"] < 36
    # coarse counts are for pairs of columns with an order: four numbers and the stage
    assert kinds_of(few)["coarse"] == 10 and "coarse" not in kinds_of(thin)
    assert "choice" not in {b.name for b in few.blocks}
    assert few.counts_event(2.0) == few.dp_event(2.0).events[0]


def test_the_tape_is_the_reserved_event(fitted: Fitted) -> None:
    assert fitted.tape.matches(fitted.plan.dp_event(fitted.scale))
    assert not fitted.tape.matches(fitted.plan.dp_event(fitted.scale * 1.1))
    assert MeasurementStore(fitted.folder / "counts").measured_event() == fitted.tape.event


def test_noise_is_on_the_counts(fitted: Fitted, tmp_path: Path) -> None:
    """Trees and one-ways, whose cells do not depend on noise, differ from the truth by about
    sigma.
    """
    exact = recorded(simulated_rows(12_000, 7), fitted.plan, tmp_path).exact
    store = MeasurementStore(fitted.folder / "counts")
    scores = []
    for name, mechanism in fitted.plan.counts(fitted.scale).items():
        if name.startswith(("tree/", "one/")):
            noisy = store.get_or_measure(mechanism, _never, NoiseStream())
            scores.append((noisy - exact[name]) / mechanism.sigma)
    z = np.concatenate(scores)
    assert len(z) > 500 and 0.85 < z.std() < 1.15


def _never() -> np.ndarray:
    raise AssertionError("a stored count was measured again")


@pytest.mark.parametrize("stage", ["columns measured", "chosen pairs measured"])
def test_a_crash_midway_measures_nothing_twice(stage: str, tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=2_000, codes=50, steps=5, first_steps=5)
    mechanisms = len(table_plan.blocks) + 1  # and the choice
    rows = simulated_rows(2_000, 3)

    class Crash(Exception):
        pass

    def crash(line: str) -> None:
        if line == stage:
            raise Crash

    with pytest.raises(Crash):
        run_fit(rows, tmp_path, table_plan, 3.0, crash)
    first = {path.name: path.read_bytes() for path in (tmp_path / "counts").iterdir()}
    assert 0 < len(first) < mechanisms
    result = run_fit(rows, tmp_path, table_plan, 3.0)
    second = {path.name: path.read_bytes() for path in (tmp_path / "counts").iterdir()}
    assert len(second) == mechanisms and all(
        second[name] == content for name, content in first.items()
    )
    assert result.tape.matches(table_plan.dp_event(3.0))
    # everything is stored: rows do not matter any more
    other = run_fit(rows.reverse().head(5), tmp_path, table_plan, 3.0)
    assert other.model.sample(50, np.random.default_rng(0)).equals(
        result.model.sample(50, np.random.default_rng(0))
    )


def test_settings_are_checked() -> None:
    assert from_mapping({"codes": 10}, epsilon=3.0).bins == 32
    with pytest.raises(ValueError, match="no setting code;"):
        from_mapping({"code": 10}, epsilon=1.0)
    with pytest.raises(ValueError, match="critic_share"):
        TableSettings(critic_share=1.5)
    with pytest.raises(ValueError, match="again_part"):
        TableSettings(again_part=0)
    with pytest.raises(ValueError, match="looks"):
        TableSettings(looks=0.0)
    with pytest.raises(ValueError, match="above 0"):
        TableSettings(one_ways_share=0.0)
    with pytest.raises(ValueError, match="leave at least"):
        simulated_plan(target_share=0.9)


def test_implications_that_cannot_hold_are_refused_all_at_once() -> None:
    wrong = tuple(
        replace(rule, given="age", then="cost", allowed={"3": ("7",)})
        for rule in simulated_implications()[:1]
    )
    back = tuple(
        replace(rule, given="site", then="sex", allowed={"breast": ("F",)})
        for rule in simulated_implications()[:1]
    )
    with pytest.raises(ValueError, match=r"numeric.*allows nothing.*declared before"):
        plan(simulated_columns(), wrong + back, (), TableSettings(), 1000)
