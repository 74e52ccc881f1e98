"""What a command that parses a custodian's files is given of the services' secrets: nothing. Of a
task of Airflow test_dags.py holds the same.
"""

from __future__ import annotations

import pytest

from pipeline import environment
from pipeline.catalog import Home
from pipeline.services import airflow_server, mlflow_server

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
