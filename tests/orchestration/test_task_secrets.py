"""What a command that parses a custodian's files is given of the services' secrets: nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipeline import environment
from pipeline.catalog import Home, project_root
from pipeline.services import airflow_server, mlflow_server

TASK = """
import json, sys
from unittest.mock import patch
from dags.stages import command
name = "airflow.providers.standard.operators.bash.context_to_airflow_vars"
with patch(name, lambda *_, **__: {"AIRFLOW_CTX_DAG_RUN_ID": "run"}):
    print(json.dumps(command("x", "true", {"RELEASE_ID": "a-1"}, doc="x").get_env({})))
"""
SECRET = (
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW_CONN_SOURCE",
    "_AIRFLOW__STARTUP_MSG",
    "SYNDASERA_PORTAL",
    "SYNDASERA_CUSTODIAN",
)


@pytest.fixture
def services(home: Home, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of Airflow's processes, and of a careless person's shell."""
    variables = airflow_server.airflow_environment(home)
    variables |= dict(mlflow_server.mlflow_services(home)[0].environment)
    variables |= {name: "a secret" for name in SECRET if name not in variables}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGPASSFILE", "/passwords")
    monkeypatch.setenv("AIRFLOW_PORT", "8081")
    return variables


def secrets_of(variables: dict[str, str]) -> list[str]:
    """Every value of Airflow's and MLflow's own keys that stands in an environment."""
    values = {
        value
        for name, value in variables.items()
        if name in SECRET or "PASSWORD" in name or "SECRET" in name
    }
    assert len(values) > 5
    return sorted(values)


def test_a_task_has_none_and_all_that_it_needs(home: Home, services: dict[str, str]) -> None:
    told = subprocess.run(
        [sys.executable, "-c", TASK],
        cwd=project_root(),
        env=environment.for_services(home.root) | {"PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        check=True,
    )
    check(json.loads(told.stdout.splitlines()[-1]), services)


def test_a_stage_by_hand_has_none(home: Home, services: dict[str, str]) -> None:
    check(
        environment.for_stages() | {"RELEASE_ID": "a-1", "AIRFLOW_CTX_DAG_RUN_ID": "run"}, services
    )


def test_the_check_of_an_upload_has_none(home: Home, services: dict[str, str]) -> None:
    variables = environment.for_home_commands(home.root)
    check(variables | {"RELEASE_ID": "a-1", "AIRFLOW_CTX_DAG_RUN_ID": "run"}, services)


def check(variables: dict[str, str], services: dict[str, str]) -> None:
    assert not set(variables) & set(SECRET)
    assert not [value for value in secrets_of(services) if value in variables.values()]
    assert not [name for name in variables if name.startswith("AIRFLOW__")]
    assert variables["SYNDASERA_HOME"] == services["SYNDASERA_HOME"]
    assert (variables["PGPASSFILE"], variables["AIRFLOW_PORT"]) == ("/passwords", "8081")
    assert (variables["RELEASE_ID"], variables["AIRFLOW_CTX_DAG_RUN_ID"]) == ("a-1", "run")
