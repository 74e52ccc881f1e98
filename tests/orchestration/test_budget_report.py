"""`budget-report`: clear words without a ledger, a folder with one, one MLflow run per report with
a step per charge.
"""

from __future__ import annotations

import json

import pytest

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli import budget
from pipeline.cli.parser import main
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.services import tracking


def charged(home: Home, releases: int) -> Ledger:
    ledger = Ledger(home.ledger)
    ledger.open_population(
        "people",
        universe="nobody",
        nominal_size=1000,
        epsilon=3.0,
        delta=1e-6,
        ceiling_epsilon=3.0,
        kind="simulated",
        reason="tests",
        by="tests",
    )
    for number in range(releases):
        ledger.reserve(
            f"people-{number}",
            "people",
            DiscreteGaussianDpEvent(8.0),
            by="tests",
            source_label=str(number),
        )
    return ledger


def test_without_a_ledger_it_says_so_and_writes_nothing(home, capsys):
    assert main(["budget-report", "--mlflow"]) == 0
    assert "There is no ledger yet" in capsys.readouterr().out
    assert (
        not home.budget_report.root.exists()
        and not home.mlflow_database.exists()
        and not home.ledger_file.exists()
    )


def test_it_writes_the_report_where_it_is_told(home, tmp_path, capsys):
    ledger = charged(home, 2)
    assert main(["budget-report"]) == main(["budget-report", "--out", str(tmp_path / "mine")]) == 0
    for folder in (home.budget_report.root, tmp_path / "mine"):
        assert sorted(path.name for path in folder.iterdir()) == [
            "balance.png",
            "figures.json",
            "index.html",
        ]
        assert (
            json.loads((folder / "figures.json").read_text())["populations"]["people"][
                "share_spent"
            ]
            == ledger.balance("people").share_spent
        )
    assert str(home.budget_report.page) in capsys.readouterr().out
    assert not home.mlflow_database.exists()


def test_a_ledger_that_was_put_back_is_not_reported_on(home, capsys):
    ledger = charged(home, 1)
    files.write_json(
        home.published / "people-9" / "card.json", {"privacy": {"chain_head": "0" * 64}}
    )
    assert main(["budget-report"]) == 2
    assert "an old copy was put back" in capsys.readouterr().err
    assert not home.budget_report.root.exists()
    assert ledger.balance("people").n_releases == 1


def test_mlflow_gets_one_run_per_report_with_a_step_per_charge(home, monkeypatch):
    ledger = charged(home, 3)
    monkeypatch.setattr("pipeline.services.tracking.client.MOST_METRICS", 4)  # several calls
    assert main(["budget-report", "--mlflow"]) == main(["budget-report", "--mlflow"]) == 0
    client = tracking.client_of(home)
    experiment = client.get_experiment_by_name(tracking.BUDGET_EXPERIMENT).experiment_id
    [run] = client.search_runs([experiment])
    assert run.data.tags["chain_head"] == ledger.chain_head() and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "people/share_spent")
    assert [point.step for point in history] == [0, 1, 2, 3]
    assert history[-1].value == pytest.approx(ledger.balance("people").share_spent)
    assert run.data.metrics["people/releases"] == 3
    assert {artifact.path for artifact in client.list_artifacts(run.info.run_id)} == {
        "balance.png",
        "figures.json",
        "index.html",
    }


def test_a_report_that_was_cut_off_in_mlflow_is_made_again(home, monkeypatch):
    ledger = charged(home, 1)
    client = tracking.client_of(home)
    with monkeypatch.context() as patch:
        patch.setattr(
            type(client), "log_artifacts", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
        )
        assert main(["budget-report", "--mlflow"]) == 1
    assert main(["budget-report", "--mlflow"]) == 0
    runs = client.search_runs(
        [client.get_experiment_by_name(tracking.BUDGET_EXPERIMENT).experiment_id]
    )
    assert [run.info.status for run in runs] == ["FINISHED"]
    ledger.reserve("people-1", "people", DiscreteGaussianDpEvent(8.0), by="tests", source_label="1")
    budget.write_report(type("Options", (), {"out": None, "mlflow": True})())
    assert len(client.search_runs([runs[0].info.experiment_id])) == 2
