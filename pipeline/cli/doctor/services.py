"""Of the services: what runs, who listens, and the databases of Airflow and MLflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pipeline.catalog import Home, project_root
from pipeline.cli.doctor.questions import Fault, Question, rows_of, warning
from pipeline.cli.services import ports
from pipeline.refusal import Refusal
from pipeline.services import airflow_server, processes

LOCK_SECONDS = 2


def running(home: Home) -> Iterator[Fault]:
    """What was started by `make up` and not stopped still runs."""
    alive = processes.running_services(home)
    for name in sorted(processes.remembered_names(home) - set(alive)):
        yield Fault(
            f"{name} was started and runs no more: its last words are in state/logs/{name}.log;"
            " `make up` starts it again"
        )


def listeners(home: Home) -> Iterator[Fault]:
    """No other program listens on a port of ours."""
    for name, port in ports().items():
        try:
            processes.check_ports(home, {name: port})
        except Refusal as error:
            yield warning(f"{error}: before `make up`")


def airflow(home: Home) -> Iterator[Fault]:
    """The database of Airflow is there and of the installed version. Of one that is elsewhere
    `deployment check` says whether it answers.
    """
    if home.deployment.airflow.database is not None:
        return
    database = home.airflow / "airflow.db"
    if not database.is_file():
        if home.airflow.is_dir():
            yield Fault(
                "Airflow's database is missing: remove state/airflow/migrated and run `make up`;"
                " what Airflow knew of past runs is lost, their results are not"
            )
        return
    if "alembic_version" not in _tables(database):
        yield Fault(
            "Airflow's database was never migrated: remove state/airflow/migrated and run"
            " `make up`, or restore state/airflow from the backup"
        )
    elif not airflow_server.is_migrated(home):
        yield Fault("Airflow's database is of another version of Airflow: `make up` migrates it")


def dags(home: Home) -> Iterator[Fault]:
    """Every DAG file can be read, and Airflow could load it the last time that it tried."""
    for path in sorted((project_root() / "dags").glob("*.py")):
        try:
            compile(path.read_text(encoding="utf-8"), path.name, "exec")
        except (SyntaxError, ValueError):
            yield Fault(f"dags/{path.name} is no Python: put it back as it was (git checkout)")
    database = home.airflow / "airflow.db"
    if database.is_file() and "import_error" in _tables(database):
        for (name,) in rows_of(database, "SELECT filename FROM import_error"):
            yield Fault(
                f"Airflow could not load the DAG file {name}: the red line on top of its home page"
                " says why"
            )


def mlflow(home: Home) -> Iterator[Fault]:
    """The database of MLflow can be read and written to."""
    if not home.mlflow_database.is_file():
        if home.mlruns.is_dir() and any(home.mlflow_artifacts.glob("*")):
            yield warning("MLflow's database is missing: `make up` makes a new one")
        return
    try:
        rows_of(home.mlflow_database, "SELECT count(*) FROM experiments")
        _take_lock(home.mlflow_database)
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        yield warning(
            "MLflow's database is locked by a process for seconds: `python -m pipeline status`"
            " shows what runs; where nothing does, look who holds it (fuser mlruns/mlflow.db)"
        )


def _take_lock(database: Path) -> None:
    """Takes the lock that a writer takes, and gives it back: nothing is written."""
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)) as one:
        one.execute("BEGIN IMMEDIATE")
        one.execute("ROLLBACK")


def _tables(database: Path) -> set[str]:
    return {
        str(name)
        for (name,) in rows_of(database, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }


QUESTIONS = (
    Question("what was started still runs", running),
    Question("the ports are free, or ours", listeners),
    Question("Airflow's database is there and of this version", airflow),
    Question("every DAG loads", dags),
    Question("MLflow's database can be read and written", mlflow),
)
