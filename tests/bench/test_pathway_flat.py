"""The flat table of the pathway benchmark: what comes back of a log, its domains, and a log without
patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from bench import pathway_flat, pathway_unflatten
from bench.pathway_data import EXTRACT, read_declaration, simulate_log
from pipeline.models.synthesizer.plan import joint_plan
from pipeline.params import PrivacyParams, load
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

Event = tuple[int, str, str | None]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_declaration()


@pytest.fixture(scope="module")
def sample(schema: Schema) -> PatientLog:
    return simulate_log(schema, 400, 3)


def one(schema: Schema, pathway: Sequence[Event], **statics: object) -> PatientLog:
    values: Mapping[str, object] = {
        "SITE_GROUP": "Colon",
        "STAGE_GROUP": "2",
        "GENDER": "1",
        "QUINTILE_2019": None,
        "FINAL_ROUTE": "TWW",
        "AGE": 71,
        "DIAGNOSISDATEBEST": date(2018, 5, 20),
        "SITE_ICD10_O2_3CHAR": "C18",
    } | statics
    days, types, codes = zip(*pathway, strict=True)
    events = pl.DataFrame(
        {ID: 1, "seq": range(len(pathway)), "day": days, "type": types, "code": codes},
        schema={
            ID: pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
        },
    )
    return PatientLog(
        pl.DataFrame({ID: [1]} | {name: [value] for name, value in values.items()}), events
    )


def runs(schema: Schema, sample: PatientLog) -> list[list[str]]:
    """Each patient's tokens but the end, a run of cycles being one, patients in the sample's
    order.
    """
    terminal = schema.events.terminal if schema.events else ()
    tokens = (
        sample.pathways.sort(ID, "seq")
        .filter(~pl.col("type").is_in(terminal))
        .select(ID, token=pathway_flat.TOKEN)
    )
    tokens_of = dict(tokens.group_by(ID).agg("token").iter_rows())
    return [
        [
            t
            for token, run in groupby(tokens_of.get(i, []))
            for t in ([token] if token == "SACT_CYCLE" else run)
        ]
        for i in sample.patients[ID]
    ]


def test_the_first_events_of_every_patient_come_back(schema: Schema, sample: PatientLog) -> None:
    back = pathway_unflatten.unflatten(schema, pathway_flat.flatten(schema, sample), 1)
    assert runs(schema, back) == [tokens[: pathway_flat.SLOTS] for tokens in runs(schema, sample)]
    assert max(map(len, runs(schema, sample))) > pathway_flat.SLOTS
    for name in pathway_flat.STATICS:
        assert back.patients[name].to_list() == sample.patients[name].to_list()
    assert ((back.patients["AGE"] - sample.patients["AGE"]).abs() < 5).all()
    assert (
        (back.patients["DIAGNOSISDATEBEST"] - sample.patients["DIAGNOSISDATEBEST"])
        .dt.total_days()
        .abs()
        < 92
    ).all()


def test_days_codes_and_cycles_of_one_pathway(schema: Schema) -> None:
    regimen = [
        (29, "SACT_REGIMEN", "CAPECITABINE"),
        *((29 + 21 * k, "SACT_CYCLE", None) for k in range(4)),
        (92, "SACT_END", "0"),
    ]
    pathway: list[Event] = [
        (-3, "REFERRAL", "TWW"),
        (-1, "FIRST_SEEN", None),
        (0, "DIAGNOSIS", None),
        (1, "SURGERY", None),
        *regimen,
    ]
    alive = one(schema, [*pathway, (1686, "CENSOR", "A")])
    back = pathway_unflatten.unflatten(schema, pathway_flat.flatten(schema, alive), 1)
    assert back.pathways.select("type", "code").equals(alive.pathways.select("type", "code"))
    # gaps of 0, 1, 2 and 28 days have bands of their own
    assert back.pathways["day"].to_list()[:-1] == alive.pathways["day"].to_list()[:-1]
    assert (
        back.pathways["day"].to_list()[-1] == (EXTRACT - back.patients["DIAGNOSISDATEBEST"][0]).days
    )


def test_a_pathway_ends_with_its_end_and_its_site_allows_the_codes(schema: Schema) -> None:
    pathway: list[Event] = [
        (-1, "REFERRAL", "TWW"),
        (0, "DIAGNOSIS", None),
        (1, "SURGERY", None),
        (41, "RADIOTHERAPY", "40/4"),
        (60, "DEATH", "other"),
    ]
    rows = pathway_flat.flatten(schema, one(schema, pathway, SITE_GROUP="Other"))
    rows["survival"], rows["gap_4"] = "0", "730"  # at odds with one another
    back = pathway_unflatten.unflatten(schema, rows, 1)
    assert back.pathways["type"].to_list() == [kind for _, kind, _ in pathway]
    assert back.pathways["day"].to_list() == [-1, 0, 0, 0, 0]
    # not C17, the group's first, where 40/4 is forbidden
    assert back.patients["SITE_ICD10_O2_3CHAR"].to_list() == ["C69"]


def test_rows_stay_in_the_declared_domains(schema: Schema, sample: PatientLog) -> None:
    rows, columns = pathway_flat.flatten(schema, sample), pathway_flat.columns(schema)
    assert list(rows) == list(columns) and len(rows) == 400
    for name, column in columns.items():
        assert set(rows[name].dropna()) <= set(column.categories)
        assert column.nullable or rows[name].notna().all()
    back = pathway_unflatten.unflatten(schema, rows, 1)
    declaration = pathway_flat.narrow_declaration(schema)
    assert (
        set(back.patients.columns) == {ID, *declaration.patients}
        and declaration.events is not None
        and not declaration.events.attributes
    )


def test_empty_slots_anywhere_are_passed_over(schema: Schema) -> None:
    rows = pathway_flat.flatten(
        schema, one(schema, [(0, "DIAGNOSIS", None), (9, "SURGERY", None), (40, "DEATH", "tumour")])
    )
    rows[["token_1", "token_7", "gap_7"]] = [["none", "RADIOTHERAPY 40/15", "2"]]
    assert pathway_unflatten.unflatten(schema, rows, 1).events["type"].to_list() == [
        "SURGERY",
        "RADIOTHERAPY",
        "DEATH",
    ]


def test_an_empty_sample_is_an_empty_table(schema: Schema, sample: PatientLog) -> None:
    empty = PatientLog(sample.patients.clear(), sample.pathways.clear())
    rows = pathway_flat.flatten(schema, empty)
    assert (
        isinstance(rows, pd.DataFrame)
        and rows.empty
        and list(rows) == list(pathway_flat.columns(schema))
    )
    back = pathway_unflatten.unflatten(schema, rows, 1)
    assert back.patients.is_empty() and back.pathways.is_empty()
    assert back.pathways.schema == pathway_flat.narrow(sample).events.schema


def test_our_table_model_can_plan_the_flat_table(schema: Schema) -> None:
    params = load(Path(__file__).resolve().parents[2] / "params.yaml")
    plan = joint_plan(
        pathway_flat.flat_declaration(schema, 20_000),
        PrivacyParams(epsilon=1.0, delta=1e-6),
        replace(params.train, table={}),
    )
    assert plan.pathway is None
