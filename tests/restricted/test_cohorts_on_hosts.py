"""The register of cohorts in a database that several hosts share: the one of before is taken over,
and nobody moves.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import psycopg
import pytest
from host_cases import database as database
from host_cases import deploy, shared_places

import audit.cohorts
from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.cohorts import Register
from pipeline.schema.reader import read_schema


def test_a_register_is_taken_over_and_shared(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    path = tmp_path / "declared.yaml"
    path.write_text(audit.cohorts.DECLARATION)
    schema, home = read_schema(path), Home.find()
    population, ids = schema.population.name, pl.Series(["1", "2"])
    register = Register(home, schema)
    assert register.assign(ids, pl.Series(["early", "late"])).to_list() == ["early", "late"]
    marks = register.marks()
    places = shared_places(tmp_path / "elsewhere", database)
    (home.state / "keys" / "holdout.key").replace(tmp_path / "elsewhere" / "keys" / "holdout.key")
    deploy(home.root, places)
    taken_over = Register(home, schema)
    assert taken_over.marks() == marks and not home.cohorts(population).exists()
    deploy(tmp_path / "other", places)
    other = Register(Home(tmp_path / "other"), schema)
    later = other.assign(pl.Series(["1", "2", "3"]), pl.Series(["late", "early", "late"]))
    assert later.to_list() == ["early", "late", "late"]
    assert taken_over.marks()[: len(marks)] == marks and len(taken_over.marks()) == len(marks) + 1
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in ("UPDATE {} SET cohort = 'early'", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.RaiseException, match="nobody leaves a cohort"):
                connection.execute(statement.format(f"cohorts_{population}.patient"))


def test_another_register_in_the_file_is_not_mixed_in(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    path = tmp_path / "declared.yaml"
    path.write_text(audit.cohorts.DECLARATION)
    schema, home = read_schema(path), Home.find()
    Register(home, schema).assign(pl.Series(["1"]), pl.Series(["early"]))
    places = shared_places(tmp_path / "elsewhere", database)
    deploy(tmp_path / "other", places)
    Register(Home(tmp_path / "other"), schema).assign(pl.Series(["1"]), pl.Series(["late"]))
    deploy(home.root, places)
    with pytest.raises(Refusal, match="is another register of cohorts"):
        Register(home, schema)
    assert home.cohorts(schema.population.name).is_file()
