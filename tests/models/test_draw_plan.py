"""Plans for drawing: what they may say, and that a draw keeps them and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pathway_cases import toy_events, toy_patients, toy_schema

from pipeline.draw_plan import DrawPlan, plan_of, read_plan
from pipeline.estimates.plan_evidence import plan_evidence
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.params import TrainParams
from pipeline.plan_options import plan_in
from pipeline.plan_slices import breaches, check_plan, slices
from pipeline.refusal import Refusal
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import PatientLog, concat

TRAIN = TrainParams(
    shares={"table": 0.5, "pathway": 0.5},
    table={"steps": 20, "codes": 50, "max_bins": 6},
    pathway={"steps": 2, "width": 4, "calibration_patients": 20, "passes": 0},
    device="cpu",
    checkpoint_steps=50,
)
EVEN = {"shares": [{"columns": ["site", "stage"], "even": True}]}
AGES = {
    "shares": [
        {
            "columns": ["age"],
            "cells": [{"age": "30..49", "share": 0.25}, {"age": "50..59", "share": 0.5}],
        }
    ]
}
PLANS = {
    "one column": {"shares": [{"columns": ["site"], "cells": [{"site": "lung", "share": 0.6}]}]},
    "all combinations": EVEN,
    "ranges": AGES,
    "two entries": {"shares": [*EVEN["shares"], *AGES["shares"]]},
    "overlapping columns": {
        "shares": [
            {"columns": ["stage"], "cells": [{"stage": ["1", "2"], "share": 0.5}]},
            {
                "columns": ["stage", "site"],
                "cells": [{"stage": "1", "site": "colon", "share": 0.3}],
            },
        ]
    },
    "rows": {"shares": [{"columns": ["site"], "cells": [{"site": ["colon", "lung"], "rows": 7}]}]},
    "missing": {"shares": [{"columns": ["stage"], "cells": [{"stage": "missing", "share": 0.5}]}]},
    "shares among some": {**AGES, "where": {"site": ["breast", "lung"]}},
    "starts": {
        "shares": [{"columns": ["site"], "cells": [{"site": "colon", "share": 0.8}]}],
        "begins": ["SURGERY"],
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    patients = toy_patients(150)
    folder = tmp_path_factory.mktemp("model") / "model"
    fit_public(toy_schema(), patients, toy_events(patients), 3.0, 1e-6, TRAIN, folder)
    return Synthesizer.load(folder)


def drawn(
    model: Synthesizer, plan: DrawPlan, n: int, seed: int = 1, size: int = 10**6
) -> PatientLog:
    return concat(list(model.sample(n, seed, size, plan=plan)))


@pytest.mark.parametrize("name", PLANS)
def test_a_draw_keeps_its_plan(model: Synthesizer, name: str) -> None:
    """Shares to the patient; every pathway is legal; the same plan and seed give the same rows in
    partitions of any size.
    """
    plan = plan_of(PLANS[name])
    log = drawn(model, plan, 611)
    assert log.patients["patient_id"].to_list() == list(range(1, 612))
    assert breaches(model.schema, plan, log.patients) == []
    assert violations(Grammar(model.schema), log.patients, log.pathways).is_empty()
    assert set(log.pathways["patient_id"]) == set(log.patients["patient_id"])
    again = drawn(model, plan, 611, size=100)
    assert log.patients.equals(again.patients) and log.pathways.equals(again.pathways)
    assert not log.patients.equals(drawn(model, plan, 611, seed=2).patients)


def test_combinations_that_no_legal_patient_has_get_no_share(model: Synthesizer) -> None:
    """Every legal combination has the same number of patients, give or take one."""
    counts = drawn(model, plan_of(EVEN), 450).patients.group_by("site", "stage").len()["len"]
    assert counts.len() == 9 and set(counts) == {50}


def test_within_groups_patients_are_as_before(model: Synthesizer) -> None:
    """Balanced sites change nothing within a site: stages and ages there are the model's own. The
    bound is six standard deviations of the difference of two shares of about 1,300 and 1,000.
    """
    plan = plan_of({"shares": [{"columns": ["site"], "even": True}]})
    balanced, own = drawn(model, plan, 4000).patients, drawn(model, DrawPlan(), 4000).patients
    for site in ("breast", "colon"):
        for is_met in (pl.col("stage") == "1", pl.col("stage").is_null(), pl.col("age") < 60):
            shares = [
                rows.filter(pl.col("site") == site).select(is_met.fill_null(False).mean()).item()
                for rows in (balanced, own)
            ]
            assert abs(shares[0] - shares[1]) < 6 * 0.5 * (1 / 1300 + 1 / 1000) ** 0.5


def test_a_plan_that_is_not_kept_is_named() -> None:
    """On rows made by hand: 10 patients of 30 years and 30 of 80, all with breast cancer."""
    rows = pl.DataFrame({"site": ["breast"] * 40, "age": [30] * 10 + [80] * 30})
    plan = plan_of({"where": {"site": "lung"}, "shares": AGES["shares"]})
    assert breaches(toy_schema(), plan, rows) == [
        "plan: 40 rows break the condition on site",
        "plan: 0 patients have age 50 to 59, not 20",
    ]
    even = plan_of({"shares": [{"columns": ["site", "age"], "even": True}]})
    assert breaches(toy_schema(), even, rows) == [
        "plan: the combinations of site x age differ by 20 patients"
    ]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"shares": [{"columns": ["nobody"], "even": True}]}, "nobody, which is no static column"),
        ({"shares": [{"columns": ["age"], "even": True}]}, "age has no categories"),
        ({"where": {"site": "liver"}}, "site has no value 'liver'"),
        ({"where": {"age": "old"}}, "'old' is no number"),
        ({"where": {"age": "200..210"}}, "no declared value from 200 to 210"),
        ({"where": {"age": "50..40"}}, "no declared value from 50 to 40"),
        ({"where": {"age": ["missing"]}}, "age is never missing"),
        ({"where": {"diagnosed": "2012..2013"}}, "'2012' is no date"),
        ({"where": {"site": "breast..lung"}}, "values of site have no order"),
        ({"begins": ["FLIGHT"]}, "'FLIGHT', which is no event type"),
        ({"begins": ["SURGERY=none"]}, "SURGERY has no code 'none'"),
        (
            {"where": {"site": "lung"}, **PLANS["one column"]},
            "for everybody and shares",
        ),
    ],
)
def test_what_the_declaration_does_not_have_is_refused(value: dict, what: str) -> None:
    with pytest.raises(Refusal, match=what):
        check_plan(toy_schema(), plan_of(value))


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([{"site": "lung", "rows": 70}], "more than 60 patients"),
        ([{"site": "lung", "share": 0.5}, {"site": ["lung", "colon"], "share": 0.1}], "two cells"),
        (
            [{"site": site, "share": 0.2} for site in ("lung", "colon", "breast")],
            "cannot hold together",
        ),
    ],
)
def test_shares_that_cannot_hold_are_refused(
    model: Synthesizer, cells: list[dict], what: str
) -> None:
    with pytest.raises(Refusal, match=what):
        drawn(model, plan_of({"shares": [{"columns": ["site"], "cells": cells}]}), 60)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("where: [site]", "must be a mapping COLUMN"),
        ("when: {site: lung}", "unknown when"),
        ("[1]", "must be a mapping with where, begins, shares"),
        ("where: {site: []}", "plan.where.site admits nothing"),
        ("where: {site: true}", "quote the value"),
        ("begins: SURGERY", "must be a list of TYPE"),
        ("shares: {site: 1}", "must be a list of"),
        ("shares: [{columns: [site]}]", "needs either cells or even"),
        ("shares: [{columns: [site, site], even: true}]", "different columns"),
        ("shares: [{columns: [site], cells: [{site: lung}]}]", "needs either share or rows"),
        ("shares: [{columns: [site], cells: [{share: 0.5}]}]", "says nothing of site"),
        ("shares: [{columns: [site], cells: [{site: lung, share: 2}]}]", "from 0 to 1"),
        ("shares: [{columns: [site], cells: [{site: lung, rows: -1}]}]", "at least 0"),
        ("shares: [{columns: [site], cells: [{site: lung, sex: F, share: 1}]}]", "unknown sex"),
        (
            "shares: [{columns: [s], cells: [{s: a, share: 0.6}, {s: b, share: 0.6}]}]",
            "sum to 1.2",
        ),
        ("shares: [{columns: [s], even: true}, {columns: [s], even: true}]", "names s twice"),
        ("where: {site", "is no YAML"),
        ("where: {day: 2020-99-99}", "is no YAML"),
        (f"where: {{n: {'9' * 5000}}}", "is no YAML"),
        ("where: {a: &a [x, x], b: [*a, *a]}", "no anchors"),
        (f"where: {{a: {'[' * 9000}{']' * 9000}}}", "too deep"),
        ("[" * 20_000, "too deep"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, what: str) -> None:
    with pytest.raises(Refusal, match=what):
        read_plan(text)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_the_same_after_a_round_trip(name: str) -> None:
    plan = plan_of(PLANS[name])
    assert plan_of(json.loads(json.dumps(plan.to_json()))) == plan
    assert len(plan.in_words()) >= 1
    assert plan_of({}) == plan_of(None) == DrawPlan() and not DrawPlan() and plan


def test_options_say_the_same_as_a_file(tmp_path: Path) -> None:
    by_options = plan_in(
        where=["age=30..50"], begins=["SURGERY"], shares=["site=lung:25%,colon:0.5", "stage=even"]
    )
    assert by_options == read_plan(
        "{where: {age: 30..50}, begins: [SURGERY], shares: [{columns: [site], cells: [{site: lung,"
        " share: 0.25}, {site: colon, share: 0.5}]}, {columns: stage, even: true}]}"
    )
    assert plan_in("where: {site: lung}", where=["age=30..50"]).where == {
        "site": ("lung",),
        "age": "30..50",
    }
    for options in ({"where": ["site=colon"]}, {"begins": ["SURGERY"]}):
        with pytest.raises(Refusal, match="the plan's file"):
            plan_in("{where: {site: lung}, begins: [REGIMEN]}", **options)
    for share in ("site", "site=lung", "site,stage=lung:1", "site=lung:x"):
        with pytest.raises(Refusal, match="--share"):
            plan_in(shares=[share])


def test_slices_of_a_column_cover_it_and_do_not_overlap() -> None:
    age = toy_schema().patients["age"]
    parts = slices(age, ["30..49", "40..59", ("45",)], single=False)
    rows = pl.DataFrame({"age": list(range(int(age.lower or 0), int(age.upper or 0) + 1))})
    ends = [tuple(int(end) for end in part.split("..")) for part in parts if isinstance(part, str)]
    covered = [value for low, high in ends for value in range(low, high + 1)]
    assert covered == rows["age"].to_list()
    assert {(45, 45), (40, 44), (46, 49), (50, 59)} <= set(ends)


def test_groups_that_noise_hides_are_said_to_be_rare() -> None:
    """By the noisy tables that hold most of its columns (by inverse variance where several do)."""
    sites = Axis("site", tuple(Cell((name,)) for name in ("breast", "colon", "lung")))
    stages = Axis("stage", tuple(Cell((name,)) for name in ("1", "2", "3", None)))
    tables = (
        NoisyTable("one/site", (sites,), np.array([500.0, 300, 40]), 10.0),
        NoisyTable("pair/site/stage", (sites, stages), np.full((3, 4), 5.0), 10.0),
    )

    def told(value: dict) -> list[str]:
        return [str(one) for one in plan_evidence(toy_schema(), tables, plan_of(value), [])]

    [whole] = told({"where": {"site": "lung"}})
    assert whole == "site lung: about 36 patients of the source, give or take 18"
    [rare] = told({"where": {"site": "lung", "stage": ["1"]}})
    assert "too rare to be learned (about 5 patients of the source" in rare
    [part] = told({"where": {"site": "colon", "age": "30..40"}})
    assert "never counted together; its rarest counted part, site colon, about 244" in part
    assert told({"where": {"age": "30..40"}}) == []
    # no level of a number's tree tells its single values
    nodes = Axis("age", (Cell((), low=0.0, high=59.0), Cell((), low=60.0, high=120.0)))
    tables = (*tables, NoisyTable("tree/age/1", (nodes,), np.array([400.0, 440]), 10.0))
    assert told({"where": {"age": [30, 40]}}) == []
    assert len(told({"where": {"age": "0..59"}})) == 1
    assert len(told(PLANS["overlapping columns"])) == 2
