"""The MLflow server: how it is started, and at which address people open it."""

from __future__ import annotations

import sys

from pipeline import environment
from pipeline.catalog import Home
from pipeline.services.database_url import sqlite_url
from pipeline.services.processes import USER, Service, secret

# MLflow shows its assistant, a chat with a language model that runs commands on this machine, to
# whoever calls it `localhost`, `127.0.0.1` or `::1`. No switch turns it off. Under this name of the
# same machine, which browsers know without any set-up, it stays away.
MLFLOW_HOST = "mlflow.localhost"


def mlflow_address() -> str:
    """The page with the releases, in MLflow's mode for models."""
    return f"http://{MLFLOW_HOST}:{environment.mlflow_port()}/#/experiments?workflowType=machine_learning"


def mlflow_services(home: Home) -> tuple[Service, ...]:
    """The MLflow server with basic sign-in, without its gateway to language models and its job
    runner. None where the deployment names a server or a database of its own.
    """
    if home.deployment.mlflow is not None:
        return ()
    port = environment.mlflow_port()
    hosts = [f"{name}:{port}" for name in (MLFLOW_HOST, "localhost", "127.0.0.1")]
    command = (
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--app-name",
        "basic-auth",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--allowed-hosts",
        ",".join(hosts),
        "--cors-allowed-origins",
        f"http://{MLFLOW_HOST}:{port}",
        "--workers",
        "1",
        "--backend-store-uri",
        sqlite_url(home.mlflow_database),
        "--default-artifact-root",
        home.mlflow_artifacts.resolve().as_uri(),
    )
    variables = {
        **environment.for_services(home.root),
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret(home, "mlflow_session_key"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": secret(home, "mlflow_password"),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
    }
    return (Service(name="mlflow-server", command=command, environment=variables, port=port),)
