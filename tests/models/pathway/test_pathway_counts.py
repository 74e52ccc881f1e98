"""What the pathway model learns from counts: facts and their cells, heads, calibration in passes."""
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pathway_cases import toy_events, toy_patients, toy_schema

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models import pathway
from pipeline.models.grammar import Grammar, violations
from pipeline.models.pathway import train
from pipeline.models.pathway.data import encode_log
from pipeline.models.pathway.facts import fact_size, fact_values
from pipeline.models.pathway.model import PathwayModel, new_model
from pipeline.models.pathway.plan import coding
from pipeline.models.pathway.refine import calibrated
from pipeline.models.pathway.settings import PathwaySettings
from pipeline.models.pathway.tables import calibration_tables, table_cells
from pipeline.schema import CountedTable, Schema

SMALL = PathwaySettings(steps=12, expected_batch_size=60, width=8, calibration_patients=1500, pass_patients=1500, pass_steps=100, candidates=8)
COUNTED = (("site", "stage", "combination"), ("stage", "survival", "end"), ("age", "wait"), ("length",), ("order",), ("others",), ("count CYCLE",),
           ("after DIAGNOSIS",), ("before DEATH",), ("site", "first SURGERY"), ("site", "first REGIMEN"), ("first REGIMEN", "second REGIMEN"),
           ("before REGIMEN", "first REGIMEN"), ("stage", "value intent"), ("holder intent", "value intent"))


def counted_schema(*parts: tuple[str, ...], **changes) -> Schema:
    tables = tuple(CountedTable(parts=part) for part in parts or COUNTED)
    return toy_schema(counted=tables, treatments=("SURGERY", "REGIMEN"), **changes)


def measured(schema: Schema, settings: PathwaySettings, patients: pl.DataFrame, events: pl.DataFrame, folder: Path, scale: float = 0.02):
    """An untrained model, and tables measured with almost no noise."""
    model = new_model(schema, pathway.plan(schema, settings, 1500))
    log = encode_log(model.coding, patients, events)
    noisy = train.measure_tables(model, log, patients, scale, store=MeasurementStore(folder), tape=Tape(), noise=NoiseStream())
    return model, noisy, [mechanism.sigma for mechanism in model.plan.counts(scale).values()]


def shares(values: pl.Series) -> dict:
    return dict(values.value_counts(normalize=True).iter_rows())


def distance(a: dict, b: dict) -> float:
    return sum(abs(a.get(key, 0) - b.get(key, 0)) for key in a.keys() | b.keys()) / 2


def quiet(_: str) -> None:
    pass


def test_facts_of_a_pathway_written_out() -> None:
    schema = counted_schema()
    made = coding(schema, SMALL, None)
    patients = toy_patients(3).with_columns(site=pl.lit("breast"))
    day = [-20, 0, 30, 40, 40, 61, 82, 100, 0, 500]
    types = ["REFERRAL", "DIAGNOSIS", "SURGERY", "REGIMEN", "CYCLE", "CYCLE", "REGIMEN_END", "DEATH", "DIAGNOSIS", "CENSOR"]
    codes = [None, None, "biopsy", "B", None, None, None, None, None, "X"]
    events = pl.DataFrame({"patient_id": [1] * 8 + [2] * 2, "seq": [*range(8), 0, 1], "day": day, "type": types, "code": codes,
                           "intent": [None] * 3 + ["palliative"] + [None] * 6, "dose": [None] * 10},
                          schema_overrides={"seq": pl.Int32, "day": pl.Int32, "dose": pl.Float64})
    pathways = encode_log(made, patients, events).pathways

    def told(fact: str) -> list[int]:
        values = fact_values(made, fact, pathways)
        assert values.max() < fact_size(made, fact)
        return values.tolist()

    names = made.grammar.type_names
    assert told("combination") == [3, 0, 0] and told("order") == [1 + 2 * 3, 0, 0]
    assert told("count CYCLE") == [2, 0, 0] and told("length") == [6, 2, 0]
    assert told("after DIAGNOSIS") == [1 + names.index("SURGERY"), 1 + names.index("CENSOR"), 0]
    assert told("before DEATH") == [1 + names.index("REGIMEN_END"), 0, 0] and told("before REFERRAL") == [0, 0, 0]
    assert told("first REGIMEN") == [2, 0, 0] and told("second REGIMEN") == [0, 0, 0] and told("first SURGERY") == [3, 0, 0]
    assert told("value intent") == [1 + 2, 0, 0] and told("holder intent") == [2, 0, 0]
    assert told("end") == [1, 2, 0] and told("survival") == [1, 3, 0] and told("wait")[1:] == [16, 16]


def test_a_patient_is_in_one_cell_of_each_table() -> None:
    patients = toy_patients(300)
    for schema in (toy_schema(), counted_schema()):
        made = coding(schema, SMALL, None)
        tables = calibration_tables(made, schema.strata)
        log = encode_log(made, patients, toy_events(patients).filter(pl.col("patient_id") > 3))
        for table, cell in zip(tables, table_cells(made, tables, patients, log.pathways), strict=True):
            assert cell.shape == (300,) and cell.min() >= 0 and cell.max() < table.cells


def test_one_more_patient_moves_every_table_by_one_in_one_cell() -> None:
    schema, patients = counted_schema(), toy_patients(40)
    made, events = coding(schema, SMALL, None), toy_events(patients)
    tables = calibration_tables(made, schema.strata)
    counts = []
    for n in (39, 40):
        some = patients.head(n)
        log = encode_log(made, some, events.filter(pl.col("patient_id") <= n))
        cells = table_cells(made, tables, some, log.pathways)
        counts.append([np.bincount(cell, minlength=table.cells) for table, cell in zip(tables, cells, strict=True)])
    for before, after in zip(*counts, strict=True):
        assert np.abs(after - before).sum() == 1


@pytest.mark.parametrize("parts", [("combinations",), ("first SURGEON",), ("value colour",), ("length", "first SURGERY"),
                                   ("second REGIMEN", "first REGIMEN")])
def test_a_part_that_cannot_be_counted_is_named(parts: tuple[str, ...]) -> None:
    schema = counted_schema(parts)
    with pytest.raises(ValueError, match=r"events\.counted: "):
        new_model(schema, pathway.plan(schema, SMALL, 200))


def test_weights_divide_the_budget_of_the_tables() -> None:
    schema = toy_schema(counted=(CountedTable(parts=("length",), weight=4.0), CountedTable(parts=("others",))))
    made = pathway.plan(schema, SMALL, 200)
    heavy, light = made.counts(3.0).values()
    assert light.sigma == pytest.approx(2 * heavy.sigma, rel=0.01)
    assert 1 / heavy.sigma**2 + 1 / light.sigma**2 == pytest.approx(SMALL.calibration_share / 9, rel=0.01)


def test_counted_choices_are_not_learned_from_gradients() -> None:
    model = new_model(counted_schema(), pathway.plan(counted_schema(), SMALL, 200))
    learned = {model.coding.grammar.tokens[v][0] for v in model.coding.learned_tokens}
    assert learned == {"CENSOR"} and [model.coding.attributes[a].column.name for a in model.coding.learned_attributes] == ["dose"]
    assert {head.choice for head in model.heads} == {"SURGERY", "REGIMEN", "intent"}


def test_heads_and_passes_bring_an_untrained_network_to_its_counts(tmp_path: Path) -> None:
    schema, patients = counted_schema(), toy_patients(1500)
    events = toy_events(patients)
    model, noisy, sigmas = measured(schema, dataclasses.replace(SMALL, passes=3), patients, events, tmp_path)
    ready = calibrated(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    static = toy_patients(1500, 8)
    fresh, before, after = toy_events(static, 4), *(m.sample(static, np.random.default_rng(2)) for m in (model, ready))
    assert violations(Grammar(schema), static, after).is_empty()

    def combination(log: pl.DataFrame) -> dict:
        seen = pl.concat_str([(pl.col("type") == kind).any().cast(pl.Int8).cast(pl.String) for kind in ("SURGERY", "REGIMEN")])
        return shares(log.group_by("patient_id").agg(seen.alias("seen"))["seen"])

    def coded(kind: str, column: str = "code"):
        return lambda log: shares(log.filter(pl.col("type") == kind)[column].fill_null("none"))

    def of_site(site: str):
        return lambda log: shares(log.filter(pl.col("type") == "REGIMEN").join(static, on="patient_id").filter(pl.col("site") == site)["code"])

    for told in (combination, coded("SURGERY"), of_site("breast"), of_site("lung"), coded("REGIMEN", "intent")):
        assert distance(told(fresh), told(after)) < min(0.08, 0.8 * distance(told(fresh), told(before)))


def test_a_pass_teaches_the_network_itself(tmp_path: Path) -> None:
    """Single draws, without the choice among candidates, come nearer to the counts."""
    schema, patients = counted_schema(("length",), ("stage", "survival", "end")), toy_patients(1500)
    events = toy_events(patients)
    model, noisy, sigmas = measured(schema, dataclasses.replace(SMALL, passes=3), patients, events, tmp_path)
    static, ends = toy_patients(1500, 8), lambda log: shares(log.group_by("patient_id").agg(pl.len())["len"])
    before = distance(ends(events), ends(model.sample(static, np.random.default_rng(2))))
    ready = calibrated(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    single = dataclasses.replace(ready, tilt=())
    assert distance(ends(events), ends(single.sample(static, np.random.default_rng(2)))) < 0.7 * before


def test_a_model_with_heads_survives_saving(tmp_path: Path) -> None:
    schema, patients = counted_schema(), toy_patients(300)
    model, noisy, sigmas = measured(schema, dataclasses.replace(SMALL, pass_patients=200, calibration_patients=200, pass_steps=3), patients,
                                    toy_events(patients), tmp_path / "counts")
    ready = calibrated(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    ready.save(tmp_path / "model")
    loaded = PathwayModel.load(tmp_path / "model", schema)
    assert loaded.heads and loaded.tilt
    assert loaded.sample(patients, np.random.default_rng(1)).equals(ready.sample(patients, np.random.default_rng(1)))
