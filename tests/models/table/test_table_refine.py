"""The critic and the network: selectable, accounted, resumable; and what is left of thin and wide
tables.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from table_cases import Fitted, run_fit, simulated_plan, simulated_rows

from pipeline.dp.accounting import calibrate, epsilon
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.fit import critic
from pipeline.models.table.measure.shrinkage import shrunk_residual
from pipeline.models.table.plan.plan import plan
from pipeline.models.table.plan.settings import TableSettings
from pipeline.schema.values import Column

SMALL = {
    "engine": "dp-ctgan",
    "codes": 60,
    "steps": 20,
    "network_steps": 5,
    "critic_steps": 12,
    "critic_batch": 100,
    "critic_share": 0.3,
}


@pytest.mark.long
def test_the_critic_runs_is_accounted_and_moves_the_generator(tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=2000, **SMALL)
    scale, event = calibrate(table_plan.dp_event, 3.0, 1e-6)
    rows = simulated_rows(2000, 3)
    result = run_fit(rows, tmp_path, table_plan, scale)
    assert result.tape.matches(event) and epsilon(result.tape.event, 1e-6) <= 3.0
    # stored counts, finished checkpoint: the same
    alone = run_fit(rows, tmp_path, simulated_plan(nominal_size=2000, **SMALL), scale)
    assert alone.model.table["site"].tobytes() == result.model.table["site"].tobytes()
    steps = table_plan.critic(scale)
    assert (
        steps is not None
        and steps.sampling_probability == 0.05
        and steps.expected_batch_size == 100
    )


def test_the_critic_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=2000, **SMALL)
    rows = simulated_rows(2000, 3)
    lines: list[str] = []

    def crash(line: str) -> None:
        lines.append(line)
        if line == "critic step 8/12":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fit(rows, tmp_path, table_plan, 3.0, crash)
    saved = (tmp_path / "critic" / "critic.safetensors").read_bytes()
    result = run_fit(rows, tmp_path, table_plan, 3.0, lines.append)
    assert lines.count("critic step 4/12") == 1 and lines.count("critic step 12/12") == 1
    assert (tmp_path / "critic" / "critic.safetensors").read_bytes() != saved
    assert result.tape.matches(table_plan.dp_event(3.0))


def test_one_critic_step_more_than_reserved_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tape counts steps that ran, not a counter: a counter that forgets one hides nothing."""
    table_plan, generate, forgotten = (
        simulated_plan(nominal_size=2000, **SMALL),
        critic._generator_step,
        [],
    )

    def forgets_a_step(state, *rest) -> None:
        generate(state, *rest)
        if not forgotten:
            forgotten.append(state.step)
            state.step -= 1

    monkeypatch.setattr(critic, "_generator_step", forgets_a_step)
    result = run_fit(simulated_rows(2000, 3), tmp_path, table_plan, 3.0)
    assert forgotten and not result.tape.matches(table_plan.dp_event(3.0))
    [difference] = result.tape.differences(table_plan.dp_event(3.0))
    assert "ran 13 times, reserved 12 times" in difference


def test_a_checkpoint_of_another_mechanism_is_refused(tmp_path: Path) -> None:
    rows = simulated_rows(200, 3)
    run_fit(rows, tmp_path, simulated_plan(nominal_size=2000, **SMALL), 3.0)
    # counts are as they were, the critic's steps are not
    with pytest.raises(ValueError, match="belongs to another mechanism"):
        run_fit(
            rows, tmp_path, simulated_plan(nominal_size=2000, **{**SMALL, "critic_steps": 10}), 3.0
        )


def test_a_plan_whose_critic_no_engine_runs_is_refused_before_a_row_is_read(
    tmp_path: Path,
) -> None:
    """As one of before engines had names may be."""
    table_plan = simulated_plan(nominal_size=2000, **SMALL)
    older = replace(table_plan, settings=replace(table_plan.settings, engine="mixture"))
    with pytest.raises(ValueError, match="engine mixture has no critic"):
        run_fit(simulated_rows(50, 3), tmp_path, older, 3.0)
    assert not any(tmp_path.rglob("*.*"))


def test_an_empty_batch_and_an_empty_table_are_valid(tmp_path: Path) -> None:
    table_plan = simulated_plan(nominal_size=2000, **SMALL)
    model = run_fit(simulated_rows(10, 1).clear(), tmp_path, table_plan, 3.0).model
    assert len(model.sample(20, np.random.default_rng(0))) == 20


@pytest.mark.long
def test_the_distilled_network_draws_like_the_table(tmp_path: Path) -> None:
    rows = simulated_rows(4000, 5)
    settings = {"codes": 200, "steps": 100, "network_steps": 60}
    table = run_fit(rows, tmp_path, simulated_plan(nominal_size=4000, **settings), 2.0).model
    network = run_fit(
        rows, tmp_path, simulated_plan(nominal_size=4000, network=True, **settings), 2.0
    ).model
    assert network.network and not table.network
    for name in ("site", "stage", "age"):
        assert np.abs(network.table[name].mean(0) - table.table[name].mean(0)).max() < 0.03
    joint = [
        np.einsum("ka,kb->ab", m.table["sex"], m.table["site"]) / 200 for m in (table, network)
    ]
    assert np.abs(joint[0] - joint[1]).sum() < 0.1
    network.save(tmp_path / "model")
    assert TableModel.load(tmp_path / "model").network.keys() == network.network.keys()


def test_shrinking_keeps_signal_and_drops_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 20, (12, 15))
    flat, rank = shrunk_residual(np.full((12, 15), 100.0) + noise, 20.0)
    assert rank == 0 and np.abs(flat).max() == 0
    dependence = 800 * np.outer(rng.normal(size=12), rng.normal(size=15))
    dependence -= dependence.mean(0) + dependence.mean(1, keepdims=True) - dependence.mean()
    shrunk, rank = shrunk_residual(1e6 + dependence + noise, 20.0)
    assert rank == 1
    assert np.linalg.norm(shrunk - dependence) < 0.7 * np.linalg.norm(noise)


@pytest.mark.long
def test_three_hundred_rows_give_honest_one_ways(tmp_path: Path) -> None:
    """At epsilon 1 and 300 rows pairs drown; the shares of a common value and an atom still come
    back within 20 points.
    """
    table_plan = simulated_plan(nominal_size=300, epsilon=1.0, codes=200, steps=200)
    scale, _ = calibrate(table_plan.dp_event, 1.0, 1e-6)
    rows = simulated_rows(300, 8)
    result = run_fit(rows, tmp_path, table_plan, scale)
    draws = result.model.sample(5000, np.random.default_rng(1))
    assert abs((draws["sex"] == "F").mean() - (rows["sex"] == "F").mean()) < 0.2  # type: ignore[operator]
    notes = result.model.notes
    assert len(notes["pairs_looked_at"]) < 20 and notes["pairs"] == 36
    assert notes["pairs_without_dependence_above_noise"] <= len(notes["pairs_looked_at"])


@pytest.mark.long
def test_a_wide_table_with_long_code_lists(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    columns = {
        f"c{k}": Column(name=f"c{k}", kind="categorical", categories=("a", "b", "c"))
        for k in range(28)
    }
    codes = tuple(f"C{k:03d}" for k in range(600))
    columns["icd"] = Column(name="icd", kind="categorical", categories=codes)
    columns["site"] = Column(name="site", kind="categorical", categories=codes[:100], nullable=True)
    places = np.minimum(rng.geometric(0.02, 3000) - 1, 599)
    rows = pl.DataFrame(
        {
            **{
                name: rng.choice(["a", "b", "c"], 3000, p=[0.6, 0.3, 0.1])
                for name in list(columns)[:28]
            },
            "icd": [codes[p] for p in places],
            "site": [codes[p] if p < 100 else None for p in places],
        }
    )
    table_plan = plan(columns, (), (), TableSettings(codes=100, steps=20), 3000)
    result = run_fit(rows, tmp_path, table_plan, 4.0)
    draws = result.model.sample(3000, np.random.default_rng(1))
    assert (
        set(draws["icd"]) <= set(codes)
        and result.model.notes["categories_too_rare_to_tell_apart"]["icd"] > 500
    )
    assert abs((draws["c0"] == "a").mean() - 0.6) < 0.1  # type: ignore[operator]
    # 86% of the rows lie in the first 100 codes, a sixth would by chance: what noisy counts can
    # tell about a long code list
    assert draws["icd"].is_in(codes[:100]).mean() > 0.22  # type: ignore[operator]


def test_one_column_is_a_table_too(tmp_path: Path) -> None:
    column = Column(name="c", kind="categorical", categories=("a", "b"))
    table_plan = plan({"c": column}, (), ("c",), TableSettings(codes=20, steps=30), 1000)
    (block,) = table_plan.blocks
    # weights stand on a grid of tenths
    assert block.name == "one/c" and block.base_sigma == pytest.approx(1.0, rel=0.05)
    assert table_plan.choice(1.0) is None and table_plan.named_pairs == ()
    draws = run_fit(
        pl.DataFrame({"c": ["a"] * 900 + ["b"] * 100}), tmp_path, table_plan, 2.0
    ).model.sample(4000, np.random.default_rng(0))
    assert (draws["c"] == "a").mean() == pytest.approx(0.9, abs=0.05)


def test_the_frozen_model_has_no_exact_count_in_it(fitted: Fitted) -> None:
    """Notes are public: nothing of type array. That the size is the noisy one, and not the rows',
    the walks of pipeline/audit show.
    """
    assert abs(fitted.model.notes["size_estimate"] - 12_000) < 200
    assert all(torch.is_tensor(v) is False for v in fitted.model.notes.values())
