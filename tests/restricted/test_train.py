"""Reserve and train: charged before a row is read, run exactly once whatever happens, no model where the two differ."""
from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipeline import params as parameters
from pipeline import schema as schemas
from pipeline.catalog import Home, Workspace
from pipeline.ledger import BudgetExceeded, Ledger, ReservationConflict
from pipeline.models.pathway import train as pathway_training
from pipeline.models.synthesizer import Synthesizer
from pipeline.restricted import reserve, train

DATASET = """\
dataset: toy
title: Toy visits
source: made up for tests
public: true
layout: log
population: {name: toy, universe: toy, kind: simulated, nominal_size: 150, epsilon: 3.0, delta: 1.0e-6, ceiling_epsilon: 3.0}
tables:
  people:
    file: people.csv
    key: [id]
    patient: id
    columns:
      id: {kind: id, role: key}
      sex: {kind: categorical, categories: [F, M], source: tests}
      joined: {kind: date, lower: 2012-01-01, upper: 2014-12-31, source: tests}
      left: {kind: date, role: rebuilt, lower: 2012-01-01, upper: 2019-12-31, source: tests, rule: end}
  visits:
    file: visits.csv
    patient: id
    columns: {id: {kind: id, role: key}, date: {kind: date, lower: 2012-01-01, upper: 2019-12-31, source: tests}}
patients:
  sex: {kind: categorical, categories: [F, M], source: tests}
  joined: {kind: date, lower: 2012-01-01, upper: 2014-12-31, source: tests}
events:
  origin: joined
  anchor: null
  max_events: 6
  upper_day: 1000
  rows: {table: visits, date: date, constant: VISIT}
  ending: {table: people, date: left, constant: LEFT}
  types: {VISIT: {}, LEFT: {terminal: true}}
strata: [sex]
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SYNDASERA_HOME", str(tmp_path))
    made = Workspace(tmp_path / "runs" / "toy-1")
    made.restricted.data.mkdir(parents=True)
    made.restricted.validation.mkdir()
    made.dataset.write_text(DATASET)
    Home.find().state.mkdir()
    population = declared(made).population
    Ledger(Home.find().ledger).open_population("toy", universe="toy", nominal_size=150, epsilon=population.epsilon, delta=population.delta,
                                               ceiling_epsilon=population.ceiling_epsilon, kind="simulated", reason="tests", by="tests")
    patients = pl.DataFrame({"patient_id": range(80), "sex": ["F", "M"] * 40}).with_columns(pl.date(2013, 1, 1).alias("joined"))
    visits = pl.DataFrame({"patient_id": range(80)}).join(pl.DataFrame({"day": [10, 40], "type": ["VISIT", "LEFT"]}), how="cross")
    events = visits.select("patient_id", pl.int_range(pl.len()).over("patient_id").cast(pl.Int32).alias("seq"), pl.col("day").cast(pl.Int32),
                           "type", pl.lit(None, pl.String).alias("code"))
    patients.write_parquet(made.restricted.patients)
    events.write_parquet(made.restricted.events)
    return made


def declared(workspace: Workspace) -> schemas.Schema:
    return schemas.load(workspace.dataset)


def settings(**changes) -> parameters.Params:
    root = Path(parameters.__file__).resolve().parent.parent
    given = parameters.load(root / "params.yaml")
    small = dataclasses.replace(given.train, table={"steps": 10, "codes": 20}, device="cpu", checkpoint_steps=2,
                                pathway={"steps": 6, "width": 8, "calibration_patients": 20, "expected_batch_size": 40})
    release = dataclasses.replace(given.release, id="toy-1", source_label="first", dataset="toy")
    return dataclasses.replace(given, release=release, train=small, privacy=dataclasses.replace(given.privacy, **changes))


def run_train(workspace: Workspace) -> None:
    train.run(workspace, settings(), declared(workspace))


def test_the_walk_from_charge_to_model(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    run_train(workspace)
    model = Synthesizer.load(workspace.released.model)
    patients, events = next(model.sample(20, 1, 20))
    assert len(patients) == 20 and set(events["type"]) <= {"VISIT", "LEFT"}
    reservation = json.loads(workspace.restricted.reservation.read_text())
    assert 0.9 < reservation["epsilon"] <= 1.0 and reservation["entry"] == Ledger(Home.find().ledger).reservation("toy-1").entry
    assert {"table_counts", "pathway_counts", "pathway_sgd"} == {line["name"] for line in reservation["mechanisms"]}


def test_nobody_is_a_population_too(workspace: Workspace) -> None:
    """{one patient} and {} are neighbours: training ends in a model either way."""
    for path in (workspace.restricted.patients, workspace.restricted.events):
        pl.read_parquet(path).clear().write_parquet(path)
    reserve.run(workspace, settings(), declared(workspace))
    run_train(workspace)
    patients, events = next(Synthesizer.load(workspace.released.model).sample(20, 1, 20))
    assert len(patients) == 20 and events is not None


def test_reserving_reads_no_row_and_charges_once(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    first, spent = workspace.restricted.reservation.read_bytes(), Ledger(Home.find().ledger).balance("toy")
    shutil.rmtree(workspace.restricted.data)
    workspace.restricted.reservation.unlink()
    reserve.run(workspace, settings(), declared(workspace))
    assert workspace.restricted.reservation.read_bytes() == first and Ledger(Home.find().ledger).balance("toy") == spent
    with pytest.raises(ReservationConflict):
        reserve.run(workspace, settings(epsilon=0.5), declared(workspace))


@pytest.mark.parametrize("change", [{"kind": "public"}, {"universe": "others"}, {"nominal_size": 100}, {"delta": 1e-7}, {"epsilon": 2.0},
                                    {"ceiling_epsilon": 9.0}])
def test_a_declaration_that_says_otherwise_than_the_ledger_is_refused(workspace: Workspace, change: dict[str, object]) -> None:
    told = declared(workspace)
    told = dataclasses.replace(told, population=dataclasses.replace(told.population, **change))
    with pytest.raises(ValueError, match=f"open in the ledger with {next(iter(change))}"):
        reserve.run(workspace, settings(), told)
    assert Ledger(Home.find().ledger).reservation("toy-1") is None and not workspace.restricted.reservation.exists()


def test_too_little_budget_is_said_and_nothing_is_written(workspace: Workspace) -> None:
    with pytest.raises(BudgetExceeded, match="toy"):
        reserve.run(workspace, settings(epsilon=5.0), declared(workspace))
    assert not workspace.restricted.reservation.exists() and Ledger(Home.find().ledger).reservation("toy-1") is None


def test_no_charge_before_validate_has_passed(workspace: Workspace) -> None:
    workspace.restricted.validation.rmdir()
    with pytest.raises(ValueError, match="validate has not passed"):
        reserve.run(workspace, settings(), declared(workspace))


def test_training_needs_the_ledgers_word(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="run reserve first"):
        run_train(workspace)
    reserve.run(workspace, settings(), declared(workspace))
    reservation = json.loads(workspace.restricted.reservation.read_text())
    reservation["plan"]["scale"] /= 2
    workspace.restricted.reservation.write_text(json.dumps(reservation))
    with pytest.raises(ValueError, match="does not hold this plan"):
        run_train(workspace)
    assert not workspace.restricted.checkpoints.exists()


def test_a_killed_training_goes_on_and_ends_as_reserved(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    save, steps = pathway_training._save, []

    def killed_after_step_4(file, state, mechanism) -> None:
        save(file, state, mechanism)
        steps.append(state.step)
        if steps == [2, 4]:
            raise Killed

    reserve.run(workspace, settings(), declared(workspace))
    monkeypatch.setattr(pathway_training, "_save", killed_after_step_4)
    with pytest.raises(Killed):
        run_train(workspace)
    assert not workspace.released.model.exists()
    counts = {path.name: path.read_bytes() for path in (workspace.restricted.checkpoints / "counts").iterdir()}
    run_train(workspace)
    assert steps == [2, 4, 6] and Synthesizer.load(workspace.released.model)
    assert counts == {path.name: path.read_bytes() for path in (workspace.restricted.checkpoints / "counts").iterdir()}
    assert Ledger(Home.find().ledger).balance("toy").n_releases == 1


def test_one_step_more_than_reserved_stops_the_release(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    update = pathway_training._update

    def forgets_a_step(state, gradients, steps, chosen) -> None:
        update(state, gradients, steps, chosen)
        if state.step == 3 and not forgotten:
            forgotten.append(state.step)
            state.step -= 1

    forgotten: list[int] = []
    reserve.run(workspace, settings(), declared(workspace))
    monkeypatch.setattr(pathway_training, "_update", forgets_a_step)
    with pytest.raises(ValueError, match="not the reserved ones"):
        run_train(workspace)
    assert forgotten and not workspace.released.model.exists()


def test_two_trainings_at_once_are_refused(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    with train._alone(workspace.restricted.checkpoints), pytest.raises(ValueError, match="another process"):
        run_train(workspace)


def test_nothing_is_logged_about_patients(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    """Two extracts of different size and content: the same log lines."""
    said = []
    for rows in (80, 30):
        caplog.clear()
        with caplog.at_level("DEBUG", logger="pipeline"):
            reserve.run(workspace, settings(), declared(workspace))
            pl.read_parquet(workspace.restricted.patients).head(rows).write_parquet(workspace.restricted.patients)
            run_train(workspace)
        said.append([record.getMessage() for record in caplog.records])
        shutil.rmtree(workspace.restricted.checkpoints)
    assert said[0] == said[1] and any("step" in line for line in said[0])
