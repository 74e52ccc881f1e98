"""The stage evaluate: the gate decides by synthetic rows, and no row of the holdout stops it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from ingest_cases import DATASETS, HEART, heart_row, write_csv

from pipeline import params
from pipeline.catalog import Workspace
from pipeline.restricted import beside_source, evaluate, report_content
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema


@dataclass(frozen=True)
class Finished:
    workspace: Workspace
    settings: params.Params
    declared: Schema

    def evaluate(self) -> str:
        """The report's page."""
        evaluate.run(self.workspace, self.settings, self.declared)
        return (self.workspace.restricted.report.page).read_text()


@pytest.fixture
def finished(bench, tmp_path: Path) -> Finished:
    """A run whose extract stands: the heart table, its own rows taken for synthetic ones."""
    rows = [heart_row(age=str(40 + n), chol=str(200 + n)) for n in range(40)]
    workspace = bench.workspace()
    done = bench.ingest(
        "uci_heart", write_csv(tmp_path / "heart_kaggle_303.csv", HEART, *rows), workspace=workspace
    )
    parquet, synthetic = workspace.released.extract.parquet, workspace.released.synthetic.root
    parquet.mkdir(parents=True)
    synthetic.mkdir(parents=True)
    shutil.copyfile(done.restricted.tables / "heart.parquet", parquet / "heart_kaggle_303.parquet")
    done.patients.write_parquet(synthetic / "patients.parquet")
    return Finished(
        workspace,
        params.load(DATASETS.parent / "params.yaml"),
        read_schema(DATASETS / "uci_heart.yaml"),
    )


def test_no_holdout_stops_the_stage(
    finished: Finished, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row, a column that is not there, an error of a library: a report or a page that says why
    not, and the same log lines.
    """
    path = finished.workspace.restricted.holdout_patients
    whole = pl.read_parquet(path)
    said = []
    for holdout in (whole, whole.clear(), whole.drop("age")):
        holdout.write_parquet(path)
        caplog.clear()
        with caplog.at_level("INFO", logger="pipeline"):
            assert "Restricted" in finished.evaluate()
        said.append([record.getMessage() for record in caplog.records])
    assert all(lines == said[0] for lines in said)

    def breaks(*_: object) -> None:
        raise RuntimeError("Mrs Example")

    whole.write_parquet(path)
    monkeypatch.setattr(report_content, "run_analyses", breaks)
    caplog.clear()
    with caplog.at_level("INFO", logger="pipeline"):
        page = finished.evaluate()
    assert "could not be made: RuntimeError at test_evaluate.py" in page and "Example" not in page
    assert [record.getMessage() for record in caplog.records] == said[0]


def test_a_synthetic_row_that_breaks_a_rule_still_stops_it(finished: Finished) -> None:
    table = finished.workspace.released.extract.parquet / "heart_kaggle_303.parquet"
    pl.read_parquet(table).with_columns(pl.lit("9").alias("cp")).write_parquet(table)
    with pytest.raises(evaluate.ExpectationsFailed):
        finished.evaluate()
    assert not finished.workspace.restricted.report.root.exists()


def test_missing_shares_and_copies_are_told_and_stop_nothing(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extract is the source itself: everybody is a copy, and nothing is apart. Then nobody
    is.
    """
    # they take seconds, and stand in a section of their own
    for part in ("run_analyses", "run_attacks", "utility"):
        monkeypatch.setattr(report_content, part, lambda *_: [])
    page = finished.evaluate()
    assert (
        "There are synthetic patients who equal a real one" in page
        and "No modelled column is further apart" in page
    )
    patients = finished.workspace.released.synthetic.patients
    pl.read_parquet(patients).with_columns(pl.col("chol") + 300).write_parquet(patients)
    page = finished.evaluate()
    assert "There are no synthetic patients who equal a real one" in page


def test_columns_with_other_shares_of_missing_values_are_named(finished: Finished) -> None:
    rows = {"heart": pl.read_parquet(finished.workspace.restricted.tables / "heart.parquet")}
    emptied = {
        "heart": (
            rows["heart"].with_columns(
                pl.when(pl.int_range(pl.len()) % 10 > 0).then("chol").alias("chol")
            )
        )
    }
    assert beside_source.missing_apart(finished.declared, rows, emptied) == {
        "heart.chol": (0.0, pytest.approx(0.1))
    }


def test_a_copy_is_a_whole_pathway(finished: Finished) -> None:
    declared = read_schema(DATASETS / "uganda_malaria.yaml")
    columns = {name: ["x"] for name in declared.patients}
    patients = pl.DataFrame({"patient_id": [1], **columns})
    events = pl.DataFrame(
        {
            "patient_id": [1, 1],
            "seq": [0, 1],
            "day": [0, 5],
            "type": ["A", "B"],
            "code": [None, "c"],
            **{name: ["v", None] for name in declared.events.attributes},
        }
    )
    other = events.with_columns(pl.col("day") * 2)
    assert beside_source.has_copies(
        declared, PatientLog(patients, events), PatientLog(patients, events)
    )
    assert not beside_source.has_copies(
        declared, PatientLog(patients, events), PatientLog(patients, other)
    )
