"""Requests, with an Airflow that is made up: its runs are a table in memory, its tasks stand where
a test puts them.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pipeline.catalog import Home, project_root
from pipeline.ledger import Ledger
from pipeline.runs import sources
from pipeline.schema.reader import read_schema
from pipeline.services.airflow_api import AirflowRefusal
from portal.shared.tables import requests

MODEL = "adult-1"
PURPOSE = "To compare two ways of teaching survival analysis."


@dataclass
class MadeUpAirflow:
    """As `AirflowApi`, without a server."""

    states: dict[tuple[str, str], str] = field(default_factory=dict)  # (DAG, run): state
    forms: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    going: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)
    answers: list[tuple[str, ...]] = field(default_factory=list)
    is_away: bool = False
    loses_answers: bool = False  # a run is started, and whoever asked never hears of it
    refuses: int = 0  # with this status

    def trigger(self, dag: str, conf: Any, run_id: str | None = None) -> str:
        self._be_there()
        if self.refuses:
            raise AirflowRefusal("no", self.refuses)
        if (dag, str(run_id)) in self.states:
            raise AirflowRefusal("there is a run of this id", 409)
        self.states[dag, str(run_id)] = "running"
        self.forms[dag, str(run_id)] = dict(conf)
        if self.loses_answers:
            raise ConnectionError
        return str(run_id)

    def run_state(self, dag: str, run: str) -> str:
        self._be_there()
        if (dag, run) not in self.states:
            raise AirflowRefusal("no such run", 404)
        return self.states[dag, run]

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        self._be_there()
        if (dag, run) not in self.states:
            raise AirflowRefusal("no such run", 404)
        return [{"task_id": task, "state": s} for task, s in self.going.get((dag, run), [])]

    def runs(self, dag: str, limit: int = 30) -> list[dict[str, Any]]:
        self._be_there()
        return [
            {"dag_run_id": run, "state": state, "conf": self.forms.get((name, run), {})}
            for (name, run), state in self.states.items()
            if name == dag
        ]

    def answer(
        self, dag: str, run: str, task: str, option: str, answered_by: str | None = None
    ) -> None:
        self._be_there()
        self.answers.append((dag, run, task, option, str(answered_by)))

    def stands(self, run: str, dag: str, task: str, state: str = "running") -> None:
        """Puts a task of the run there."""
        self.states.setdefault((dag, run), "running")
        self.going[dag, run] = [(task, state)]

    def ends(self, run: str, state: str = "success") -> None:
        self.states["request", run] = state

    def _be_there(self) -> None:
        if self.is_away:
            raise ConnectionRefusedError


def publish(home: Home, release_id: str, dataset: str = "adult") -> None:
    """A release as far as requests know one: declaration, card, manifest."""
    release = home.release(release_id)
    release.root.mkdir(parents=True)
    shutil.copyfile(home.declarations / f"{dataset}.yaml", release.dataset)
    card = {
        "release_id": release_id,
        "dataset": dataset,
        "title": "Adult",
        "source_label": "first",
        "drawn_from": None,
        "privacy": {"epsilon": 1.0, "ledger_entry": 3},
    }
    release.card.write_text(json.dumps(card))
    release.manifest.write_text('{"files": []}')


def declare_confidential(home: Home) -> None:
    """The dataset `clinic`, of a confidential population, beside the project's own `adult`."""
    home.datasets.mkdir(parents=True)
    text = (project_root() / "datasets" / "adult.yaml").read_text()
    (home.datasets / "adult.yaml").write_text(text)
    clinic = text.replace("dataset: adult\n", "dataset: clinic\n").replace(
        "name: adult\n", "name: clinic\n"
    )
    clinic = clinic.replace("kind: public", "kind: confidential").replace(
        "public: true", "public: false"
    )
    clinic = clinic.replace("universe: People in", "universe: Patients, say those in")
    (home.datasets / "clinic.yaml").write_text(clinic)


def open_population(home: Home, dataset: str, epsilon: float | None = None) -> Ledger:
    """The population of a dataset, open in the ledger."""
    population = read_schema(home.declarations / f"{dataset}.yaml").population
    ledger = Ledger(home.ledger)
    ledger.open_population(
        population.name,
        universe=population.universe,
        nominal_size=population.nominal_size,
        epsilon=epsilon or population.epsilon,
        delta=population.delta,
        ceiling_epsilon=population.ceiling_epsilon,
        kind=population.kind,
        reason="tests",
        by="tests",
    )
    return ledger


def declare_source(home: Home, dataset: str) -> None:
    folder = home.root / "source"
    folder.mkdir(exist_ok=True)
    (folder / "rows.csv").write_text("age\n39\n")
    sources.declare(home, dataset, sources.Source(path=str(folder), label="first"))


def ask(visitor: Any, address: str = f"release={MODEL}", **fields: Any) -> str:
    """Sends a request; its id."""
    visitor.get(f"/requests/new?{address}")
    fields = {"rows": "100", "purpose": PURPOSE, **fields}
    if address.startswith("dataset"):
        fields = {"epsilon": "1.0", **fields}
    answer = visitor.post(f"/requests/new?{address}", **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


def told(portal: Any, number: str) -> Any:
    """What the public database holds of a request."""
    with portal.public.state.engine.begin() as c:
        return c.execute(sa.select(requests).where(requests.c.id == number)).one()


@contextmanager
def unchanged(portal: Any) -> Iterator[None]:
    """Nobody writes into the public database meanwhile: by what is in it, and by SQLite's own count
    of the changes that others made.
    """
    connection = sqlite3.connect(portal.home.portal_database)
    try:
        before = _state(connection)
        yield
        assert _state(connection) == before
    finally:
        connection.close()


def _state(connection: sqlite3.Connection) -> list[str]:
    version = connection.execute("PRAGMA data_version").fetchone()
    return [str(version), *connection.iterdump()]
