"""A workspace with a small log of visits, ingested and validated, and what charges and trains
it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest
from account_cases import write_account

from pipeline import params
from pipeline.catalog import Home, Workspace
from pipeline.ledger import Ledger
from pipeline.restricted import confirm, reserve, train
from pipeline.restricted.ingest.origin import origin_of
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

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
      id: {kind: id, role: key, integer: true}
      sex: {kind: categorical, categories: [F, M], source: tests}
      joined: {kind: date, lower: 2012-01-01, upper: 2014-12-31, source: tests}
      left: {kind: date, role: rebuilt, lower: 2012-01-01, upper: 2019-12-31, source: tests, rule: end}
  visits:
    file: visits.csv
    patient: id
    columns: {id: {kind: id, role: key, integer: true}, date: {kind: date, lower: 2012-01-01, upper: 2019-12-31, source: tests}}
patients:
  columns:
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
    made.restricted.validation.root.mkdir()
    made.dataset.write_text(DATASET)
    Home.find().state.mkdir()
    population = declared(made).population
    Ledger(Home.find().ledger).open_population(
        "toy",
        universe="toy",
        nominal_size=150,
        epsilon=population.epsilon,
        delta=population.delta,
        ceiling_epsilon=population.ceiling_epsilon,
        kind="simulated",
        reason="tests",
        by="tests",
    )
    patients = pl.DataFrame({"patient_id": range(80), "sex": ["F", "M"] * 40}).with_columns(
        pl.date(2013, 1, 1).alias("joined")
    )
    visits = pl.DataFrame({"patient_id": range(80)}).join(
        pl.DataFrame({"day": [10, 40], "type": ["VISIT", "LEFT"]}), how="cross"
    )
    events = visits.select(
        "patient_id",
        pl.int_range(pl.len()).over("patient_id").cast(pl.Int32).alias("seq"),
        pl.col("day").cast(pl.Int32),
        "type",
        pl.lit(None, pl.String).alias("code"),
    )
    patients.write_parquet(made.restricted.patients)
    events.write_parquet(made.restricted.events)
    write_account(made.restricted, of=origin_of(declared(made), settings().release))
    confirm.run(made, settings(), declared(made))
    return made


def declared(workspace: Workspace) -> Schema:
    return read_schema(workspace.dataset)


def settings(**changes) -> params.Params:
    root = Path(params.__file__).resolve().parent.parent
    given = params.load(root / "params.yaml")
    small = dataclasses.replace(
        given.train,
        table={"steps": 10, "codes": 20},
        device="cpu",
        checkpoint_steps=2,
        pathway={"steps": 6, "width": 8, "calibration_patients": 20, "expected_batch_size": 40},
    )
    release = dataclasses.replace(given.release, id="toy-1", source_label="first", dataset="toy")
    return dataclasses.replace(
        given, release=release, train=small, privacy=dataclasses.replace(given.privacy, **changes)
    )


def run_train(workspace: Workspace) -> None:
    train.run(workspace, settings(), declared(workspace))


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
