"""The two models as one artefact: a plan from public numbers, one joint accounting, draws that do
not depend on partitions.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pathway_cases import schema_of, toy_events, toy_patients, toy_schema

from pipeline.dp.accounting import epsilon
from pipeline.dp.tape import Tape
from pipeline.draw_plan import plan_of
from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.fit import train
from pipeline.models.pathway.fit.encoded_log import encode_log
from pipeline.models.synthesizer import draw
from pipeline.models.synthesizer import model as synthesizer_model
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.models.table.measure.columns import encode_rows
from pipeline.params import PrivacyParams, TrainParams
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import PatientLog

TRAIN = TrainParams(
    shares={"table": 0.4, "pathway": 0.6},
    table={"steps": 20, "codes": 50, "max_bins": 6},
    pathway={
        "steps": 6,
        "width": 8,
        "calibration_patients": 50,
        "pass_patients": 50,
        "pass_steps": 3,
    },
    device="cpu",
    checkpoint_steps=50,
)
# the package's own `fit` is the function
table_fitting = importlib.import_module("pipeline.models.table.fit.fit")
PRIVACY = PrivacyParams(epsilon=1.0, delta=1e-6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    patients = toy_patients(150)
    folder = tmp_path_factory.mktemp("model") / "model"
    fit_public(toy_schema(), patients, toy_events(patients), 1.0, 1e-6, TRAIN, folder)
    return Synthesizer.load(folder)


def test_two_rows_under_one_id_are_one_patient_in_both_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second row, whatever it says, changes nothing that a mechanism reads: neither table cells
    nor pathways.
    """
    patients = toy_patients(40)
    events, read = toy_events(patients), []

    def read_log(coding, *frames):
        log = encode_log(coding, *frames)
        read.append(
            {name: np.asarray(value).tobytes() for name, value in vars(log).items()}
            | {"n": log.n_patients}
        )
        return log

    def read_table(frame, domains):
        cells = encode_rows(frame, domains)
        read.append({name: value.tobytes() for name, value in cells.items()})
        return cells

    monkeypatch.setattr(train, "encode_log", read_log)
    monkeypatch.setattr(table_fitting, "encode_rows", read_table)
    for number, rows in enumerate((patients, pl.concat([patients, patients.reverse().head(15)]))):
        fit_public(toy_schema(), rows, events, 1.0, 1e-6, TRAIN, tmp_path / str(number))
    assert read[:2] == read[2:] and read[1]["n"] == 40


def test_the_joint_event_keeps_the_target_and_uses_it() -> None:
    plan = joint_plan(toy_schema(), PRIVACY, TRAIN)
    assert 0.99 < epsilon(plan.dp_event, 1e-6) <= 1.0
    assert Tape(
        [plan.table.dp_event(plan.table_scale), plan.pathway.dp_event(plan.pathway_scale)]
    ).matches(plan.dp_event)


def test_more_share_means_less_noise() -> None:
    little, much = (
        joint_plan(
            toy_schema(), PRIVACY, dataclasses.replace(TRAIN, shares={"table": 1 - s, "pathway": s})
        )
        for s in (0.2, 0.8)
    )
    assert (
        much.pathway.sgd(much.pathway_scale).noise_multiplier
        < little.pathway.sgd(little.pathway_scale).noise_multiplier
    )
    assert min(m.sigma for m in much.table.counts(much.table_scale).values()) > min(
        m.sigma for m in little.table.counts(little.table_scale).values()
    )


def test_a_plan_survives_json_to_the_last_sigma() -> None:
    plan = joint_plan(toy_schema(), PRIVACY, TRAIN)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan and Tape([again.dp_event]).matches(plan.dp_event)
    with pytest.raises(ValueError, match="format"):
        Plan.from_json({**plan.to_json(), "format": 0})


def test_a_dataset_without_events_gives_everything_to_the_table() -> None:
    plan = joint_plan(schema_of(None), PRIVACY, TRAIN)
    assert plan.pathway is None and plan.table_share == 1.0
    assert 0.99 < epsilon(plan.dp_event, 1e-6) <= 1.0


def test_delta_is_never_above_the_populations() -> None:
    schema = toy_schema()
    strict = dataclasses.replace(
        schema, population=dataclasses.replace(schema.population, delta=1e-8)
    )
    assert joint_plan(strict, PRIVACY, TRAIN).delta == 1e-8
    assert epsilon(joint_plan(strict, PRIVACY, TRAIN).dp_event, 1e-8) <= 1.0


def whole(parts: Iterable[PatientLog]) -> PatientLog:
    """The partitions as one."""
    parts = list(parts)
    return PatientLog(
        pl.concat([part.patients for part in parts]), pl.concat([part.pathways for part in parts])
    )


def test_an_extract_does_not_depend_on_partitions(
    model: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw, "BLOCK", 40)
    wholes = []
    for rows in (7, 100, 1000):
        parts = list(model.sample(100, 5, rows))
        assert all(len(part.patients) <= rows for part in parts)
        assert all(
            set(part.pathways["patient_id"]) == set(part.patients["patient_id"]) for part in parts
        )
        wholes.append(whole(parts))
    assert (
        wholes[0].patients.equals(wholes[1].patients)
        and wholes[0].pathways.equals(wholes[1].pathways)
        and wholes[1].pathways.equals(wholes[2].pathways)
    )
    assert wholes[0].patients["patient_id"].to_list() == list(range(1, 101))
    assert not next(model.sample(100, 6, 100)).pathways.equals(wholes[0].pathways)


def test_a_partition_is_drawn_for_itself(
    model: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (draw, synthesizer_model):
        monkeypatch.setattr(module, "BLOCK", 10)
    for number, part in enumerate(model.sample(50, 5, 20)):
        alone = model.partition(50, 5, 20, number)
        assert alone.patients.equals(part.patients) and alone.pathways.equals(part.pathways)
    with pytest.raises(ValueError, match="whole blocks"):
        model.partition(50, 5, 15, 0)


def test_prompts_hold_and_pathways_stay_legal(model: Synthesizer) -> None:
    prompt = plan_of({"where": {"site": ["colon", "lung"], "age": (40, 50)}})
    log = next(model.sample(200, 1, 200, plan=prompt))
    patients = log.patients
    assert set(patients["site"]) <= {"colon", "lung"} and patients["age"].is_between(40, 50).all()
    assert violations(Grammar(model.schema), patients, log.pathways).is_empty()
    assert patients.columns == ["patient_id", *model.schema.patients]


def test_no_patients_and_bad_numbers(model: Synthesizer) -> None:
    [log] = list(model.sample(0, 1, 10))
    assert log.patients.is_empty() and log.pathways.is_empty()
    with pytest.raises(ValueError, match="partition_rows"):
        next(model.sample(1, 1, 0))


def test_a_saved_model_needs_nothing_but_its_folder(model: Synthesizer, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "model.json").read_text())
    assert facts["privacy"]["epsilon"] == 1.0 and facts["privacy"]["mechanisms"]
    loaded = Synthesizer.load(tmp_path / "model")
    assert to_plain(loaded.schema) == to_plain(model.schema)
    assert next(loaded.sample(30, 2, 30)).pathways.equals(next(model.sample(30, 2, 30)).pathways)
    assert not [
        path for path in (tmp_path / "model").rglob("*") if path.suffix in (".pkl", ".pt", ".tmp")
    ]


def test_declarations_survive_as_plain_values() -> None:
    schema = toy_schema()
    again = schema_from_plain(json.loads(json.dumps(to_plain(schema))))
    assert (
        to_plain(again) == to_plain(schema)
        and again.events.types["CYCLE"] == schema.events.types["CYCLE"]
    )
    with pytest.raises(ValueError, match="declaration"):
        schema_from_plain({"dataset": "x", "colour": 3})


def test_a_benchmark_fit_refuses_what_is_not_public(tmp_path: Path) -> None:
    secret = dataclasses.replace(toy_schema(), public=False)
    with pytest.raises(ValueError, match="not declared `public: true`"):
        fit_public(secret, toy_patients(5), None, 1.0, 1e-6, TRAIN, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_rows_do_not_change_the_plan(tmp_path: Path) -> None:
    """The same sigmas, steps and probabilities for 20 patients and for 150."""
    few = toy_patients(20, 3)
    fitted = fit_public(toy_schema(), few, toy_events(few), 1.0, 1e-6, TRAIN, tmp_path / "few")
    assert fitted.plan == joint_plan(toy_schema(), PRIVACY, TRAIN)
    assert np.isclose(fitted.plan.scale, Synthesizer.load(tmp_path / "few").plan.scale)


def test_a_prompt_on_the_start_holds_for_every_patient(model: Synthesizer) -> None:
    """SURGERY is the one treatment here that lungs never have: all other sites are left, and none
    of the pathways starts otherwise.
    """
    prompt = plan_of({"where": {"stage": ["1", "2"]}, "begins": ["SURGERY"]})
    log = whole(model.sample(120, 1, 50, plan=prompt))
    patients, events = log.patients, log.pathways
    assert patients["patient_id"].to_list() == list(range(1, 121)) and set(patients["stage"]) <= {
        "1",
        "2",
    }
    assert events["patient_id"].unique(maintain_order=True).to_list() == list(range(1, 121))
    assert violations(Grammar(model.schema), patients, events).is_empty()
    treated = (
        events.filter(pl.col("type").is_in(["SURGERY", "REGIMEN"]))
        .group_by("patient_id")
        .agg(pl.col("type").first())
    )
    assert (
        len(treated) == 120
        and set(treated["type"]) == {"SURGERY"}
        and "lung" not in set(patients["site"])
    )
    assert next(model.sample(120, 1, 120, plan=prompt)).pathways.equals(events)


def test_a_start_that_nobody_has_is_refused(model: Synthesizer) -> None:
    with pytest.raises(ValueError, match=r"no pathway of 5,000 .*begins with SURGERY"):
        prompt = plan_of({"where": {"site": "lung"}, "begins": ["SURGERY"]})
        next(model.sample(5, 1, 5, plan=prompt))
