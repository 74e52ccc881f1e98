"""What reads rows: one patient moves one cell of each block by one; nothing is measured twice; the
tape is what was accounted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
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
from pipeline.dp.tape import Tape
from pipeline.models.table.measure.measure import encode_rows, measure
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
    """Keeps the counts before noise and answers with a fixed recording: only tests may look."""

    def __init__(self, path: Path, frozen: dict[str, np.ndarray] | None = None) -> None:
        super().__init__(path)
        self.counts: dict[str, np.ndarray] = {}
        self.frozen = frozen

    def get_or_measure(
        self, mechanism: NoisyCounts, counts_fn: Callable[[], np.ndarray], noise: NoiseStream
    ) -> np.ndarray:
        self.counts[mechanism.name] = counts_fn()
        return self.counts[mechanism.name] if self.frozen is None else self.frozen[mechanism.name]


def counts_of(
    rows: pl.DataFrame, table_plan: TablePlan, folder: Path, frozen: dict[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    recorder = Recorder(folder, frozen)
    measure(
        encode_rows(rows, table_plan.domains()),
        table_plan,
        1.0,
        store=recorder,
        tape=Tape(),
        noise=NoiseStream(),
        progress=lambda line: None,
    )
    return recorder.counts


@pytest.mark.parametrize("kind", ODD)
def test_one_more_row_moves_one_cell_of_each_block_by_one(kind: str, tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=400)
    her = pl.DataFrame([{**ROWS.row(3, named=True), **ODD[kind]}], schema=ROWS.schema, strict=False)
    without = counts_of(ROWS, table_plan, tmp_path, None)
    # the bins come from what was measured before: the same recording for both neighbours
    frozen = without
    before = counts_of(ROWS, table_plan, tmp_path, frozen)
    after = counts_of(pl.concat([ROWS, her]), table_plan, tmp_path, frozen)
    assert before.keys() == after.keys() == {block.name for block in table_plan.blocks}
    for block in table_plan.blocks:
        moved = after[block.name].astype(np.int64) - before[block.name]
        assert np.count_nonzero(moved) == 1 and moved.max() == 1, block.name
        assert before[block.name].size <= block.cells


def test_a_second_row_of_a_patient_is_not_read(tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=400)
    named = ROWS.with_row_index("patient_id")
    twice = pl.concat(
        [named, named.reverse().head(30).with_columns(sex=pl.lit("F"), age=pl.lit(99, pl.Int64))]
    )
    once = counts_of(named, table_plan, tmp_path, None)
    again = counts_of(twice, table_plan, tmp_path, None)
    assert all((once[name] == again[name]).all() for name in once)


def test_counts_of_no_rows_at_all_are_zero(tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=400)
    assert all(
        (counts == 0).all()
        for counts in counts_of(ROWS.clear(), table_plan, tmp_path, None).values()
    )


def test_the_plan_is_a_function_of_the_declaration_alone() -> None:
    table_plan = simulated_plan()
    assert table_plan == simulated_plan()
    again = TablePlan.from_json(json.loads(json.dumps(table_plan.to_json())))
    assert again == table_plan and again.dp_event(2.5) == table_plan.dp_event(2.5)
    used = sum(block.base_sigma**-2 for block in table_plan.blocks)
    assert used == pytest.approx(1.0, rel=0.05)  # weights stand on a grid of tenths
    names = [block.name for block in table_plan.blocks]
    assert len(names) == len(set(names)) and sum(name.startswith("pair/") for name in names) == 36
    assert (
        sum(name.startswith("again/") for name in names) == 15
        and sum(name.startswith("coarse/") for name in names) == 36
    )
    # sex stands in implications: it is drawn in declared order
    assert table_plan.targets == ("relapse",)
    assert (
        sum(name.startswith("target/relapse/") for name in names) == 8
        and sum(name.startswith("pivot/relapse/") for name in names) == 10
    )


def test_the_tape_is_the_reserved_event(fitted: Fitted) -> None:
    assert fitted.tape.matches(fitted.plan.dp_event(fitted.scale))
    assert not fitted.tape.matches(fitted.plan.dp_event(fitted.scale * 1.1))
    assert MeasurementStore(fitted.folder / "counts").measured_event() == fitted.tape.event


def test_noise_is_on_the_counts(fitted: Fitted, tmp_path: Path) -> None:
    """Blocks of one-ways, whose cells do not depend on noise, differ from the truth by about
    sigma.
    """
    exact = counts_of(simulated_rows(12_000, 7), fitted.plan, tmp_path, None)
    store = MeasurementStore(fitted.folder / "counts")
    scores = []
    for name, mechanism in fitted.plan.counts(fitted.scale).items():
        if name.startswith("tree/"):
            noisy = store.get_or_measure(mechanism, _never, NoiseStream())
            scores.append((noisy - exact[name]) / mechanism.sigma)
    z = np.concatenate(scores)
    assert len(z) > 500 and 0.85 < z.std() < 1.15


def _never() -> np.ndarray:
    raise AssertionError("a stored count was measured again")


def test_a_crash_midway_measures_nothing_twice(tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=2_000, codes=50, steps=5)
    rows = simulated_rows(2_000, 3)

    class Crash(Exception):
        pass

    def crash(line: str) -> None:
        if line == "one-ways measured":
            raise Crash

    with pytest.raises(Crash):
        run_fit(rows, tmp_path, table_plan, 3.0, crash)
    first = {path.name: path.read_bytes() for path in (tmp_path / "counts").iterdir()}
    assert 0 < len(first) < len(table_plan.blocks)
    result = run_fit(rows, tmp_path, table_plan, 3.0)
    second = {path.name: path.read_bytes() for path in (tmp_path / "counts").iterdir()}
    assert len(second) == len(table_plan.blocks) and all(
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
    with pytest.raises(ValueError, match="leave at least"):
        simulated_plan(again_share=0.9)


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
