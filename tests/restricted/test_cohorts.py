"""Cohorts: at first sight by the declared column, later by the register alone (privacy_rules.md
16).
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import audit.cohorts
from pipeline import params
from pipeline.catalog import Home, Workspace
from pipeline.cli.ledger import ensure_population
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.released.privacy_facts import privacy_facts
from pipeline.restricted import confirm, reserve, train
from pipeline.restricted.ingest import cohorts, stage
from pipeline.restricted.ingest.cohorts import Register, at_first_sight
from pipeline.runs import workspace
from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Schema:
    monkeypatch.setenv("SYNDASERA_HOME", str(tmp_path / "home"))
    path = tmp_path / "declared.yaml"
    path.write_text(audit.cohorts.DECLARATION)
    return read_schema(path)


def people(*joined: date | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"patient_id": range(len(joined)), "joined": list(joined)},
        schema={"patient_id": pl.Int64, "joined": pl.Date},
    )


def outside(declared: Schema, named: tuple[str, ...], patients: pl.DataFrame) -> list[int]:
    return cohorts.enrol(declared, named, Register(Home.find(), declared), patients)[
        "patient_id"
    ].to_list()


def test_first_sight_sorts_everybody(declared: Schema) -> None:
    assert declared.population.cohort_names == ("early", "late")
    seen = at_first_sight(
        declared.population.cohorts,
        people(date(2012, 5, 1), date(2013, 12, 31), date(2014, 1, 1), None, date(2000, 1, 1)),
    )
    assert seen.to_list() == ["early", "early", "late", "early", "early"]
    assert at_first_sight(declared.population.cohorts, people()).to_list() == []


def test_nobody_moves_whoever_asks_first(declared: Schema) -> None:
    first = people(date(2012, 5, 1), date(2015, 1, 1))
    assert outside(declared, ("early",), first) == [1]
    moved = people(date(2015, 5, 1), date(2012, 1, 1), date(2015, 1, 1))
    assert outside(declared, ("early",), moved) == [1, 2]
    assert outside(declared, ("late",), moved) == [0]
    assert outside(declared, ("early", "late"), moved) == outside(declared, (), moved) == []


def test_the_register_holds_hashes_and_takes_no_change(declared: Schema) -> None:
    outside(declared, (), people(date(2012, 5, 1)))
    path = Home.find().cohorts("audit_cohorts")
    with sqlite3.connect(path) as connection:
        assert [
            len(identity) for (identity,) in connection.execute("SELECT identity FROM patient")
        ] == [32]
        for statement in ("UPDATE patient SET cohort = 'late'", "DELETE FROM patient"):
            with pytest.raises(sqlite3.IntegrityError, match="nobody leaves"):
                connection.execute(statement)


def test_a_lost_register_or_key_or_another_dataset_stops_the_run(
    declared: Schema, tmp_path: Path
) -> None:
    home = Home.find()
    outside(declared, ("early",), people(date(2012, 5, 1)))
    other = tmp_path / "other.yaml"
    other.write_text(
        audit.cohorts.DECLARATION.replace("dataset: audit_cohorts", "dataset: another")
    )
    with pytest.raises(ValueError, match="those of dataset audit_cohorts"):
        Register(home, read_schema(other))
    shutil.move(home.keys, tmp_path / "keys")
    with pytest.raises(ValueError, match="another permanent key"):
        Register(home, declared)
    shutil.rmtree(home.keys)
    shutil.move(tmp_path / "keys", home.keys)
    open_in(Ledger(home.ledger), declared).reserve(
        "r1",
        "audit_cohorts",
        DiscreteGaussianDpEvent(9.0),
        by="t",
        source_label="l",
        cohorts=["early"],
        register=Register(home, declared).marks(),
    )
    home.cohorts("audit_cohorts").unlink()
    with pytest.raises(ValueError, match="the register is gone"):
        Register(home, declared)


def open_in(ledger: Ledger, declared: Schema) -> Ledger:
    held = declared.population
    ledger.open_population(
        held.name,
        universe=held.universe,
        nominal_size=held.nominal_size,
        epsilon=held.epsilon,
        delta=held.delta,
        ceiling_epsilon=held.ceiling_epsilon,
        kind=held.kind,
        reason="tests",
        by="tests",
        cohorts=held.cohort_names,
    )
    return ledger


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    patient: id\n", "", "no patient's id"),
        ("column: joined", "column: left", "no static column of dates"),
        ("late: 2014-01-01", "late: 2011-01-01", "ascending"),
        (", late: 2014-01-01", "", "at least two"),
        ("early: 2012-01-01", "early: 3", "dates or numbers"),
    ],
)
def test_cohorts_that_cannot_be_kept_are_refused(
    declared: Schema, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(audit.cohorts.DECLARATION.replace(old, new))
    with pytest.raises(DeclarationError, match=message):
        read_schema(path)


def walked(home: Home, name: str, source: Path, cohort: str) -> Workspace:
    """Ingested and charged: as `prepare --cohorts` and the stages do it."""
    (home.root / "datasets").mkdir(parents=True, exist_ok=True)
    (home.root / "datasets" / "audit_cohorts.yaml").write_text(audit.cohorts.DECLARATION)
    request = workspace.Request(
        release_id=name,
        dataset="audit_cohorts",
        source=str(source),
        label=f"label of {name}",
        cohorts=(cohort,),
    )
    made = workspace.make(home, request)
    ensure_population(home, read_schema(made.dataset))
    stage.run(made, params.load(made.params), read_schema(made.dataset))
    made.restricted.validation.root.mkdir()
    confirm.run(made, params.load(made.params), read_schema(made.dataset))
    reserve.run(made, params.load(made.params), read_schema(made.dataset))
    return made


def test_a_release_of_a_cohort_opens_and_charges_that_cohort_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDASERA_HOME", str(tmp_path / "home"))
    home, source = (
        Home.find(),
        audit.cohorts._write(tmp_path / "source" / "people.csv", 60, random.Random(3)),
    )
    early, late = (walked(home, f"{cohort}-1", source, cohort) for cohort in ("early", "late"))
    ids = [set(pl.read_parquet(made.restricted.patients)["patient_id"]) for made in (early, late)]
    assert all(ids) and not ids[0] & ids[1]
    ledger = Ledger(home.ledger)
    spent = ledger.balance("audit_cohorts").spent_by_cohort
    assert spent["early"] == spent["late"] == ledger.balance("audit_cohorts").spent_rdp
    assert privacy_facts(ledger, "late-1")["cohorts"] == ["late"]
    assert ledger.last_charge("audit_cohorts", ["early"]).release_id == "early-1"
    assert ledger.last_charge("audit_cohorts") is None

    register = home.cohorts("audit_cohorts")
    old = register.read_bytes()
    walked(home, "early-2", source, "early")
    newest = register.read_bytes()
    register.write_bytes(old)
    with pytest.raises(ValueError, match="an old copy"):
        walked(home, "late-2", source, "late")

    with pytest.raises(ValueError, match="an old copy"):
        train.run(late, params.load(late.params), read_schema(late.dataset))

    register.write_bytes(newest)
    # rows of others than were charged
    shutil.copytree(early.restricted.data, late.restricted.data, dirs_exist_ok=True)
    with pytest.raises(
        ValueError, match=r"charged to the cohorts late .* and ingest opened the cohorts early"
    ):
        train.run(late, params.load(late.params), read_schema(late.dataset))
