"""MLflow mirrors what the workspace noted, once, however often it is told."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from pipeline import environment, files
from pipeline.runs.workspace import Request, make
from pipeline.services import tracking

RESERVATION = {
    "release_id": "adult-1",
    "population": "adult",
    "epsilon": 0.9,
    "delta": 1e-6,
    "entry": 2,
    "mechanisms": [
        {
            "name": "table_counts",
            "kind": "discrete Gaussian counts",
            "blocks": 3,
            "smallest_sigma": 10.0,
        }
    ],
}


@pytest.fixture
def mirrored(home, source, monkeypatch):
    """A run that was told to MLflow in the middle, at the end, and once more."""
    monkeypatch.setenv(environment.AIRFLOW_RUN_VARIABLE, "manual-1")
    workspace = make(
        home, Request(release_id="adult-1", dataset="adult", source=str(source), label="first")
    )
    started = datetime(2026, 1, 2, tzinfo=UTC)

    def noted(stage: str, status: str = "FINISHED") -> None:
        tracking.note(workspace, stage=stage, started=started, seconds=1.5, status=status)

    noted("ingest", "FAILED")
    first = tracking.sync(home, workspace)
    noted("ingest")
    files.write_json(workspace.restricted.reservation, RESERVATION)
    noted("reserve")
    assert tracking.sync(home, workspace) == first
    model = workspace.released.model
    files.write_text(model / "model.json", "{}")
    versions = [tracking.publish_model("adult-1", model) for _ in range(2)]
    noted("publish")
    files.write_text(workspace.tracking, "")
    os.utime(workspace.tracking, (0, 0))
    assert tracking.catch_up(home) == ["adult-1"]  # what a killed run left is told by `make up`
    assert tracking.catch_up(home) == []
    return tracking.client_of(home), first, versions


def test_a_release_is_one_parent_with_a_child_per_attempt_and_one_model(mirrored):
    client, parent, versions = mirrored
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    runs = client.search_runs([experiment])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
    assert sorted((run.data.tags["stage"], run.info.status) for run in children) == [
        ("ingest", "FAILED"),
        ("ingest", "FINISHED"),
        ("publish", "FINISHED"),
        ("reserve", "FINISHED"),
    ]
    assert len(runs) == 1 + len(children)
    held = client.get_run(parent)
    assert held.info.status == "FINISHED"
    assert {
        "source_label": "first",
        "ledger_entry": "2",
        "airflow_run": "manual-1",
    }.items() <= held.data.tags.items()
    assert len(held.data.tags["data_id"]) == 32 and held.data.tags["code_version"]
    assert {
        "epsilon": "1.0",
        "epsilon_reserved": "0.9",
        "delta_reserved": "1e-06",
        "table_counts.blocks": "3",
    }.items() <= held.data.params.items()
    assert versions == ["1", "1"]
    assert (
        client.get_model_version_by_alias("adult", tracking.ALIAS).tags["release_id"] == "adult-1"
    )
