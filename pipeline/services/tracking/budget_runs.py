"""The report on every population's budget as a run of the experiment `budget`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pipeline.catalog import Home
from pipeline.services.tracking.client import (
    BUDGET_EXPERIMENT,
    NOTE,
    client_of,
    experiment,
    log_metrics,
)


def publish_budget(
    home: Home,
    folder: Path,
    head: str,
    day: str,
    series: Mapping[str, Sequence[tuple[int, datetime, float]]],
) -> str:
    """One run per report: the files of `folder`, and {figure: [(step, time, value)]} as metrics;
    returns its id.

    The same head on the same day keeps its run, unless that was cut off.
    """
    from mlflow.entities import Metric

    client = client_of(home)
    place = experiment(client, home, BUDGET_EXPERIMENT)
    same = f"tags.chain_head = '{head}' and tags.date = '{day}'"
    for run in client.search_runs([place], same):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    tags = {
        "kind": "budget_report",
        "chain_head": head,
        "date": day,
        NOTE: (
            f"Every population's budget on {day}, at the chain head `{head[:12]}`. "
            "The page is the artifact `index.html`."
        ),
    }
    run_id = str(client.create_run(place, tags=tags, run_name=f"budget {day}").info.run_id)
    metrics = [
        Metric(name, value, int(at.timestamp() * 1000), step)
        for name, points in series.items()
        for step, at, value in points
    ]
    log_metrics(client, run_id, metrics)
    client.log_artifacts(run_id, str(folder))
    client.set_terminated(run_id, "FINISHED")
    return run_id
