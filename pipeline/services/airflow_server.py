"""Airflow's processes: what they need and how they are started."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from pipeline import environment, files, night_params
from pipeline.catalog import Home, project_root
from pipeline.services import metrics
from pipeline.services.airflow_api import AirflowApi
from pipeline.services.database_url import sqlite_url
from pipeline.services.processes import USER, Service, secret
from pipeline.stages import PORTAL_USER


def airflow_address() -> str:
    """Where its API server answers: on this host, or where the deployment says."""
    if url := Home.find().deployment.airflow.url:
        return url.rstrip("/")
    return f"http://localhost:{environment.airflow_port()}"


def portal_account(home: Home, patience: float = 20) -> AirflowApi:
    """Airflow as the portal's own user, who may read, start runs and answer questions: the lowest
    role that may. A page waits `patience` seconds for it, so not for long.
    """
    password = secret(home, "airflow_portal_password")
    return AirflowApi(airflow_address(), PORTAL_USER, password, patience=patience)


def airflow_environment(home: Home) -> dict[str, str]:
    """What every process of Airflow needs: our DAGs only; SQLite and LocalExecutor on one host."""
    from cryptography.fernet import Fernet

    address = airflow_address()
    fernet = (home.keys if home.deployment.keys else home.state) / "airflow-fernet.key"
    if not fernet.is_file():
        files.write_text(fernet, Fernet.generate_key().decode())
        fernet.chmod(0o600)
    return {
        **environment.for_services(home.root),
        "AIRFLOW_HOME": str(home.airflow.absolute()),
        # what is logged, and how long tasks took, is the owner's alone
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "AIRFLOW__CORE__DAGS_FOLDER": str(project_root() / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": home.deployment.airflow.executor,
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": fernet.read_text(encoding="utf-8"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,{PORTAL_USER}:user",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        **_databases(home),
        "AIRFLOW__API__BASE_URL": address,
        # other hosts' workers reach it, where the deployment says by which address
        "AIRFLOW__API__HOST": "0.0.0.0" if home.deployment.airflow.url else "127.0.0.1",
        "AIRFLOW__API__PORT": str(environment.airflow_port()),
        "AIRFLOW__API__SECRET_KEY": secret(home, "airflow_session_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret(home, "airflow_jwt_key"),
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        # Clocks that would fail a task or a DAG file on a machine whose cores are busy.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": "120",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "120",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # the scheduler may be up minutes before the API server answers
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "12",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **metrics.for_airflow(night_params.load_metrics(home.params)),
    }


def _databases(home: Home) -> dict[str, str]:
    """Airflow's database, and what Celery needs where tasks run on several hosts."""
    places, name = home.deployment.airflow, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    if places.database is None:
        return {name: sqlite_url(home.airflow / "airflow.db")}
    url = places.database.removeprefix("postgresql://")
    variables = {
        name: f"postgresql+psycopg://{url}",
        f"{name}_ASYNC": f"postgresql+asyncpg://{url}",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg://{url}",
    }
    return variables | ({"AIRFLOW__CELERY__BROKER_URL": places.broker} if places.broker else {})


def airflow_services(home: Home) -> tuple[Service, ...]:
    """Scheduler, API server, DAG processor and triggerer. Nothing here defers; without a triggerer
    the home page shows a red cross.
    """
    variables, binary = airflow_environment(home), str(Path(sys.executable).parent / "airflow")
    commands: tuple[tuple[str, tuple[str, ...], int | None], ...] = (
        ("airflow-api-server", ("api-server", "--workers", "1"), environment.airflow_port()),
        ("airflow-scheduler", ("scheduler", "--skip-serve-logs"), None),
        ("airflow-dag-processor", ("dag-processor",), None),
        ("airflow-triggerer", ("triggerer", "--skip-serve-logs", "--capacity", "10"), None),
    )
    return tuple(
        Service(name=name, command=(binary, *command), environment=variables, port=port)
        for name, command, port in commands
    )


def prepare_airflow(home: Home) -> None:
    """Makes Airflow's database and its password file. Idempotent. Raises RuntimeError with what
    Airflow said last.
    """
    home.airflow.mkdir(parents=True, exist_ok=True)
    passwords = home.airflow / "simple_auth_manager_passwords.json.generated"
    files.write_json(
        passwords,
        {
            USER: secret(home, "airflow_password"),
            PORTAL_USER: secret(home, "airflow_portal_password"),
        },
    )
    passwords.chmod(0o600)
    if is_migrated(home):
        return
    migration = subprocess.run(
        [str(Path(sys.executable).parent / "airflow"), "db", "migrate"],
        env=airflow_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    if migration.returncode != 0:
        raise RuntimeError(
            f"airflow db migrate: {(migration.stderr.strip().splitlines() or ['nothing said'])[-1]}"
        )
    files.write_text(_migrated(home), f"{_version()}\n")


def is_migrated(home: Home) -> bool:
    """Whether Airflow's database was last migrated by the version of Airflow that is installed."""
    path = _migrated(home)
    return path.is_file() and path.read_text(encoding="utf-8").strip() == _version()


def _migrated(home: Home) -> Path:
    return home.airflow / "migrated"


def _version() -> str:
    return metadata.version("apache-airflow-core")
