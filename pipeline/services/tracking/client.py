"""A client of the home's own MLflow database, and its experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline import environment, files
from pipeline.catalog import Home
from pipeline.refusal import Refusal, Unavailable
from pipeline.services.database_url import sqlite_url

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "releases"
BUDGET_EXPERIMENT = "budget"
NOTE = "mlflow.note.content"  # what MLflow shows as the description of a run or an experiment
MOST_METRICS = 1000  # in one call
MOST_RUNS = 1000  # in one answer
HEAD_TAGS = ("ledger_head", "chain_head", "last_head")  # of a run: the ledger's chain head then
# MLflow 3 opens an experiment in the mode for language models unless this tag says otherwise.
KIND = {"mlflow.experimentKind": "custom_model_development"}
DESCRIPTIONS = {
    EXPERIMENT: (
        "One run per release, with its stages below it. Restricted: metrics that begin with "
        "`report/` compare synthetic with real patients. MLflow mirrors the ledger; where the two "
        "differ, the ledger is right."
    ),
    BUDGET_EXPERIMENT: (
        "One run per budget report: the balance of every population, a step per charge. "
        "Restricted. The ledger is the authority: `python -m pipeline ledger`."
    ),
}


def client_of(home: Home) -> MlflowClient:
    """A client of the home's own database; nothing is sent anywhere."""
    environment.silence_mlflow()
    from mlflow import MlflowClient

    if url := home.deployment.mlflow:
        return MlflowClient(tracking_uri=_with_driver(url))
    files.private_folder(home.mlflow_database.parent)  # the restricted report lies there, too
    return MlflowClient(tracking_uri=sqlite_url(home.mlflow_database))


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def ensure(home: Home) -> None:
    """Makes the database and the experiment, so that no stage pays for it; MLflow's own empty
    experiment goes.
    """
    client = client_of(home)
    experiment(client, home)
    default = client.get_experiment_by_name("Default")
    if default is not None and default.lifecycle_stage == "active":
        client.delete_experiment(default.experiment_id)


def experiment(client: MlflowClient, home: Home, name: str = EXPERIMENT) -> str:
    """The id of an experiment, which is made where it is missing, in MLflow's mode for models."""
    tags = {**KIND, NOTE: DESCRIPTIONS[name]}
    present = client.get_experiment_by_name(name)
    if present is None:
        # of a server by URL, its own
        location = None if home.deployment.mlflow else home.mlflow_artifacts.resolve().as_uri()
        return str(client.create_experiment(name, artifact_location=location, tags=tags))
    for key, value in tags.items():
        if present.tags.get(key) != value:
            client.set_experiment_tag(present.experiment_id, key, value)
    return str(present.experiment_id)


def log_metrics(client: MlflowClient, run: str, metrics: Sequence[Metric]) -> None:
    """Any number of metrics, in as few calls as MLflow allows."""
    for first in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run, metrics=metrics[first : first + MOST_METRICS])


def tracked_chain_heads(home: Home) -> dict[str, str]:
    """{where: head of the ledger's chain} of every run that noted one; none where there is no
    database yet.

    Raises Refusal for a database that cannot be read.
    """
    if not home.mlflow_database.is_file() and home.deployment.mlflow is None:
        return {}
    return {
        f"the MLflow run {run.info.run_name} ({run.info.run_id[:8]}, {tag})": head
        for run in _all_runs(home)
        for tag in HEAD_TAGS
        if (head := run.data.tags.get(tag))
    }


def _all_runs(home: Home) -> list[Run]:
    """Of every experiment, page by page."""
    client = client_of(home)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        experiments = [one.experiment_id for one in client.search_experiments()]
        page = client.search_runs(experiments, max_results=MOST_RUNS)
        runs = list(page)
        while page.token:
            page = client.search_runs(experiments, max_results=MOST_RUNS, page_token=page.token)
            runs += page
    except (MlflowException, SQLAlchemyError) as error:
        if home.deployment.mlflow is not None:
            raise Unavailable(
                f"MLflow cannot be read ({type(error).__name__}), and it holds chain heads that"
                " tell whether the ledger is whole. Nothing was charged"
            ) from None
        raise Refusal(
            f"{home.mlflow_database.name} cannot be read ({type(error).__name__}), and it holds"
            " chain heads that tell whether the ledger is whole: restore mlruns/ from the backup,"
            " or move it away, so that the next run begins a new one. Nothing was charged"
        ) from None
    return runs
