"""The engines: each keeps the declared rules and the conditions in every row; what runs is what is
charged; the one without a guarantee comes near no release.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from table_cases import conditions
from test_order import PROMPTS, RULES, TEXT, broken, declared, people

from pipeline.checks.synthetic_gate import static_breaches
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import joint_plan
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.fit.without_privacy import (
    UnprotectedTable,
    coded,
    decoded,
    fit_without_privacy,
)
from pipeline.models.table.plan.engines import ENGINES
from pipeline.models.table.plan.settings import TableSettings, from_mapping
from pipeline.models.table.values.row_source import RowSource
from pipeline.params import PrivacyParams, TrainParams
from pipeline.refusal import Refusal
from pipeline.released.card import facts
from pipeline.released.card_limits import ModelFacts
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import ID
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

IMPLICATION = """
    implications: [{given: stage, then: coin, allowed: {"4": [heads]}}]
    """
SMALL = {
    "engine": "dp-ctgan",
    "codes": 150,
    "steps": 150,
    "network_steps": 60,
    "critic_steps": 15,
    "critic_batch": 200,
}
DATASETS = Path(__file__).resolve().parents[3] / "datasets"


def train(**table: object) -> TrainParams:
    return TrainParams(
        shares={"table": 0.5, "pathway": 0.5},
        table=table,
        pathway={},
        device="cpu",
        checkpoint_steps=50,
    )


def legal_people(n: int, seed: int) -> pl.DataFrame:
    is_fourth = pl.col("stage") == "4"
    heads = pl.when(is_fourth).then(pl.lit("heads")).otherwise(pl.col("coin"))
    return people(n, seed).with_columns(coin=heads)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    return declared(tmp_path_factory.mktemp("toy"), TEXT + RULES + IMPLICATION)


@pytest.fixture(scope="module")
def model(toy: Schema, tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    folder = tmp_path_factory.mktemp("gan") / "model"
    # fit_public compares the tape with the plan
    fit_public(toy, legal_people(3000, 1), None, 5.0, 1e-6, train(**SMALL), folder)
    return Synthesizer.load(folder)


def shuffled(toy: Schema) -> UnprotectedTable:
    """In place of a fit of CTGAN: each column right, no rule kept."""
    rows = coded(legal_people(2000, 1), toy)

    def draw(n: int, seed: int) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        return pl.DataFrame([rows[name][rng.integers(0, 2000, n)] for name in rows.columns])

    return UnprotectedTable(toy, draw)


def check_rows(toy: Schema, source: RowSource, where: dict | None, n: int) -> pl.DataFrame:
    rows = source.sample(n, np.random.default_rng(2), conditions(where or {}))
    assert rows.columns == people(1, 1).columns[1:] and len(rows) == n
    assert rows.schema == people(1, 1).drop(ID).schema
    assert broken(rows) == {} and static_breaches(toy, rows.with_row_index(ID)) == []
    for name, condition in (where or {}).items():
        if isinstance(condition, list):
            assert set(rows[name]) <= set(condition)
        elif not isinstance(condition[0], str):
            assert rows[name].is_between(*condition).all()
    return rows


@pytest.mark.parametrize("where", PROMPTS, ids=str)
def test_dp_ctgan_keeps_rules_and_conditions(
    toy: Schema, model: Synthesizer, where: dict | None
) -> None:
    assert model.table.engine == "dp-ctgan" and model.table.network
    check_rows(toy, model.table, where, 1500)


def test_a_condition_on_dp_ctgan_is_a_filter(model: Synthesizer) -> None:
    """What the conditional draw gives is what a filter on a free draw leaves."""
    free = model.table.sample(40_000, np.random.default_rng(1)).filter(pl.col("stage") == "3")
    asked = model.table.sample(8000, np.random.default_rng(2), {"stage": ("3",)})
    assert asked["death"].mean() == pytest.approx(free["death"].mean(), rel=0.05)
    assert (asked["coin"] == "heads").mean() == pytest.approx(
        (free["coin"] == "heads").mean(), abs=0.03
    )


def test_dp_ctgan_learns(model: Synthesizer) -> None:
    rows, real = model.table.sample(3000, np.random.default_rng(3)), legal_people(3000, 1)
    for stage in ("1", "4"):
        share = (rows["stage"] == stage).mean() - (real["stage"] == stage).mean()
        assert abs(share) < 0.06
    gap = [
        frame.filter(pl.col("stage") == "1")["death"].mean()
        - frame.filter(pl.col("stage") == "4")["death"].mean()
        for frame in (real, rows)
    ]
    assert gap[1] > 0.5 * gap[0]


@pytest.mark.parametrize(
    "where", [None, {"s2": (0.0, 0.9)}, {"stage": ["4", "3"]}, {"relapse": [None]}], ids=str
)
def test_rows_of_ctgan_that_break_a_rule_are_rejected_and_counted(
    toy: Schema, where: dict | None
) -> None:
    source = shuffled(toy)
    check_rows(toy, source, where, 60)
    rows, drawn = source.legal_rows(60, np.random.default_rng(2), conditions(where or {}))
    assert len(rows) == 60 and drawn > 120


def test_a_condition_that_too_few_rows_of_ctgan_meet_is_refused(toy: Schema) -> None:
    with pytest.raises(Refusal, match="only 0 of 10 keep the declared rules and the conditions on"):
        shuffled(toy).sample(10, np.random.default_rng(1), {"s2": "0..0.001"})
    with pytest.raises(Refusal, match="does not have"):
        shuffled(toy).sample(10, np.random.default_rng(1), {"nothing": ("1",)})
    with pytest.raises(Refusal, match="has no value '5'"):
        shuffled(toy).sample(10, np.random.default_rng(1), {"stage": ("5",)})


def test_rows_for_ctgan_come_back_as_they_were(toy: Schema) -> None:
    rows = legal_people(500, 4).drop(ID)
    assert decoded(coded(rows, toy), toy).equals(rows)


def test_numbers_of_ctgan_are_declared_ones(toy: Schema) -> None:
    rows = coded(legal_people(4, 4), toy).with_columns(
        death=pl.Series([-3.0, 0.02, 7.26, 500.0]), began=pl.Series([0.0, 1e9, 15_000.4, 15_000.0])
    )
    drawn = decoded(rows, toy)
    assert drawn["death"].to_list() == [0.0, 0.0, 7.3, 120.0]
    assert drawn["began"].cast(str).to_list() == [
        "2010-01-01", "2012-12-31", "2011-01-26", "2011-01-26"
    ]  # fmt: skip


class Bootstrap:
    """What the package's own class is asked for, without a network: rows are drawn again."""

    def __init__(self, **settings: object) -> None:
        self.rng = np.random.default_rng(0)

    def set_random_state(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def fit(self, rows: pd.DataFrame, discrete_columns: list[str]) -> None:
        assert not rows.isna().any().any()  # the package takes no null
        assert list(rows.select_dtypes("number")) == [
            name for name in rows.columns if name not in discrete_columns
        ]
        self.rows = rows

    def sample(self, n: int) -> pd.DataFrame:
        return self.rows.iloc[self.rng.integers(0, len(self.rows), n)]


def test_the_package_gets_and_gives_what_it_can(
    toy: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctgan", SimpleNamespace(CTGAN=Bootstrap))
    rows = legal_people(300, 1)
    source = fit_without_privacy(toy, rows)
    drawn = check_rows(toy, source, None, 40)
    assert set(drawn.rows()) <= set(rows.drop(ID).rows())
    assert drawn.equals(source.sample(40, np.random.default_rng(2)))


def test_ctgan_itself_where_it_is_installed(toy: Schema) -> None:
    pytest.importorskip("ctgan", reason="an optional extra (Business Source License 1.1)")
    rows = legal_people(500, 1)
    check_rows(toy, fit_without_privacy(toy, rows, epochs=1), None, 20)


def test_ctgan_is_refused_where_it_is_not_installed(
    toy: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctgan", None)
    with pytest.raises(Refusal, match="optional extra under the Business Source License"):
        fit_without_privacy(toy, legal_people(10, 1))


@pytest.mark.parametrize("change", ["not public", "confidential"])
def test_ctgan_never_learns_from_confidential_data(toy: Schema, change: str) -> None:
    population = replace(toy.population, kind="confidential")
    schema = {
        "not public": replace(toy, public=False),
        "confidential": replace(toy, population=population),
    }[change]
    with pytest.raises(Refusal, match="has no privacy guarantee"):
        fit_without_privacy(schema, legal_people(10, 1))


def test_nothing_is_planned_with_ctgan(toy: Schema, tmp_path: Path) -> None:
    budget = PrivacyParams(epsilon=1.0, delta=1e-6)
    with pytest.raises(Refusal, match="without differential privacy"):
        joint_plan(toy, budget, train(engine="ctgan"))
    with pytest.raises(Refusal, match="Take one of mixture, dp-ctgan"):
        fit_public(
            toy, legal_people(5, 1), None, 1.0, 1e-6, train(engine="ctgan"), tmp_path / "model"
        )
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine": "gan"}, "must be one of mixture, dp-ctgan, ctgan, got 'gan'"),
        ({"engine": "dp-ctgan", "critic_share": 0.0}, "is nothing without its critic"),
        ({"critic_share": 0.1}, "engine mixture has no critic"),
    ],
)
def test_settings_that_do_not_fit_the_engine_are_refused(
    toy: Schema, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(Refusal, match=words):
        joint_plan(toy, PrivacyParams(epsilon=1.0, delta=1e-6), train(**settings))


def test_the_critic_has_its_share_and_the_mixture_none(toy: Schema) -> None:
    budget = PrivacyParams(epsilon=1.0, delta=1e-6)
    plans = {name: joint_plan(toy, budget, train(engine=name)) for name in ("mixture", "dp-ctgan")}
    kinds = {name: [one["name"] for one in plan.mechanisms()] for name, plan in plans.items()}
    assert "table_critic" in kinds["dp-ctgan"] and "table_critic" not in kinds["mixture"]
    assert joint_plan(toy, budget, train()) == plans["mixture"]
    assert from_mapping({}, epsilon=1.0).critic_part == 0.0


def test_a_model_of_before_engines_is_a_mixture(model: Synthesizer, tmp_path: Path) -> None:
    model.table.save(tmp_path)
    description = json.loads((tmp_path / "table.json").read_text())
    assert description["plan"]["settings"].pop("engine") == "dp-ctgan"
    description["plan"]["settings"]["critic_share"] = 0.05  # as one may have had
    (tmp_path / "table.json").write_text(json.dumps(description))
    old = TableModel.load(tmp_path)
    assert old.engine == TableSettings().engine == "mixture"
    first, second = (one.sample(50, np.random.default_rng(1)) for one in (old, model.table))
    assert first.equals(second)


def test_the_card_names_the_engine() -> None:
    told = facts(
        read_schema(DATASETS / "adult.yaml"), release_id="one-1", source_label="first", rows=10,
        extract_date=None, code_version="0", privacy={"mechanisms": []},
        approval={"self_approved": True}, drawn_from=None,
        model=ModelFacts(engine=ENGINES["dp-ctgan"].title),
    )  # fmt: skip
    assert told["engine"].startswith("DP-CTGAN")
    assert "noisy marginals" in ModelFacts().engine
