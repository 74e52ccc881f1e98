"""Reserve and train: charged before a row is read, run exactly once whatever happens, no model where the two differ."""
from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline import files, tracking
from pipeline import params as parameters
from pipeline import schema as schemas
from pipeline.catalog import Home, Workspace
from pipeline.commands import keeping
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
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


class Killed(BaseException):
    pass


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.fixture
def begun(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A training that was killed before its first mechanism."""
    reserve.run(workspace, settings(), declared(workspace))
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", killed)
        with pytest.raises(Killed):
            run_train(workspace)
    return workspace


def test_training_is_in_the_ledger_before_a_row_is_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    monkeypatch.setattr(pl, "read_parquet", killed)
    for _ in range(2):
        with pytest.raises(Killed):
            run_train(workspace)
    ledger = Ledger(Home.find().ledger)
    assert [entry.kind for entry in ledger.entries("toy")] == ["opened", "reserved", "training"]
    assert ledger.state("toy-1") == "reserved" and ledger.balance("toy").n_releases == 1


@pytest.mark.parametrize("left", [(), ("lock",)])
def test_nobody_shops_among_noises(begun: Workspace, left: tuple[str, ...]) -> None:
    shutil.rmtree(begun.restricted.checkpoints)
    for name in left:
        begun.restricted.checkpoints.mkdir()
        (begun.restricted.checkpoints / name).touch()
    with pytest.raises(ValueError, match="Use a new release id"):
        run_train(begun)
    assert not begun.released.model.exists()


@pytest.mark.parametrize("closed", ["released", "abandoned"])
def test_a_closed_release_is_not_trained(workspace: Workspace, closed: str) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    ledger = Ledger(Home.find().ledger)
    ledger.commit("toy-1") if closed == "released" else ledger.abandon("toy-1", "tests", "tests")
    with pytest.raises(ValueError, match=f"toy-1 is {closed} in the ledger"):
        run_train(workspace)
    with pytest.raises(ValueError, match=closed):
        ledger.begin_training("toy-1", "tests")
    assert not workspace.restricted.checkpoints.exists()


def test_another_plan_of_the_same_cost_is_another_plan(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    reservation = json.loads(workspace.restricted.reservation.read_text())
    reservation["plan"]["table_share"] = reservation["plan"]["table_share"] * 0.999  # moves no noise
    workspace.restricted.reservation.write_text(json.dumps(reservation))
    with pytest.raises(ValueError, match="does not hold this plan"):
        run_train(workspace)
    held = Ledger(Home.find().ledger).reservation("toy-1")
    assert held is not None and held.plan_sha256 is not None
    with pytest.raises(ReservationConflict, match="another plan"):
        Ledger(Home.find().ledger).reserve("toy-1", "toy", held.event, by="tests", source_label="first", plan_sha256="0" * 64)


def test_the_reservation_of_another_release_is_refused(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    given = settings()
    with pytest.raises(ValueError, match=r"reservation\.json is of toy-1, this run is toy-2"):
        train.run(workspace, dataclasses.replace(given, release=dataclasses.replace(given.release, id="toy-2")), declared(workspace))


def test_reserving_again_after_publishing_says_the_same(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    ledger, before = Ledger(Home.find().ledger), workspace.restricted.reservation.read_bytes()
    ledger.commit("toy-1")
    head = ledger.head()
    workspace.restricted.reservation.unlink()  # as dvc does
    reserve.run(workspace, settings(), declared(workspace))
    assert (workspace.restricted.reservation.read_bytes(), ledger.head()) == (before, head)
    with pytest.raises(ReservationConflict):
        reserve.run(workspace, settings(epsilon=0.5), declared(workspace))


def test_a_ledger_rolled_back_behind_a_published_card_charges_nothing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home.find()
    old = home.ledger.read_bytes()
    ledger = Ledger(home.ledger)
    ledger.reserve("toy-0", "toy", DiscreteGaussianDpEvent(50.0), by="tests", source_label="earlier")
    card = {"privacy": {"chain_head": ledger.head()}}
    files.write_json(home.published / "toy-0" / "card.json", card)
    reserve.run(workspace, settings(), declared(workspace))
    assert keeping.verify(argparse.Namespace()) == 0 and "1 published card" in capsys.readouterr().out
    home.ledger.write_bytes(old)
    for ask in (lambda: reserve.run(workspace, settings(), declared(workspace)), lambda: keeping.verify(argparse.Namespace())):
        with pytest.raises(ValueError, match="an old copy was put back"):
            ask()
    assert ledger.balance("toy").n_releases == 0
    home.ledger.unlink()
    with pytest.raises(ValueError, match="an old copy was put back"):
        keeping.verify(argparse.Namespace())


def test_the_reservation_notes_the_ledgers_head_for_mlflow(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    head = Ledger(Home.find().ledger).head()
    assert json.loads(workspace.restricted.reservation.read_text())["head"] == head
    assert tracking._reserved_facts(workspace).tags["ledger_head"] == head


def test_leftovers_of_a_killed_attempt_are_removed(begun: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    leftovers = [begun.restricted.checkpoints / "step.tmp", begun.restricted.checkpoints / "counts" / "half.tmp"]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(train, "fit", killed)
    with pytest.raises(Killed):
        run_train(begun)
    assert not any(path.exists() for path in leftovers)


def test_a_killed_training_goes_on_and_ends_as_reserved(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_count_measured_beside_the_tape_stops_the_release(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    extra = NoisyCounts(name="one/beside", sigma=2.0, cells=4)
    MeasurementStore(workspace.restricted.checkpoints / "counts").get_or_measure(extra, lambda: np.zeros(4, np.int64), NoiseStream())
    with pytest.raises(ValueError, match="not the reserved ones"):
        run_train(workspace)
    assert not workspace.released.model.exists()


def test_two_trainings_at_once_are_refused(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    with train._alone(workspace.restricted.checkpoints), pytest.raises(ValueError, match="another process"):
        run_train(workspace)


def test_nothing_is_logged_about_patients(workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two extracts of different size and content, each in a home of its own: the same log lines."""
    said = []
    second = workspace.root / "second"
    (second / "state").mkdir(parents=True)
    shutil.copyfile(Home.find().ledger, second / "state" / "ledger.db")
    for rows in (80, 30):
        caplog.clear()
        with caplog.at_level("DEBUG", logger="pipeline"):
            reserve.run(workspace, settings(), declared(workspace))
            pl.read_parquet(workspace.restricted.patients).head(rows).write_parquet(workspace.restricted.patients)
            run_train(workspace)
        said.append([record.getMessage() for record in caplog.records])
        shutil.rmtree(workspace.restricted.checkpoints)
        monkeypatch.setenv("SYNDASERA_HOME", str(second))
    assert said[0] == said[1] and any("step" in line for line in said[0])
