"""The declarations of the public datasets: complete, sourced, and wide enough for the public
copies.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from pipeline import params
from pipeline.catalog import Workspace
from pipeline.environment import HOME_VARIABLE
from pipeline.restricted.ingest import account, repairs, stage
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SYNDASERA_SHARED") or ROOT.parent / "shared") / "data"
# dataset, folder, documented rows, rows that may be dropped (a visit without its values)
COPIES = [
    ("adult", "adult", 48842, 0),
    ("uci_heart", "heart_uci", 303, 0),
    ("credit_default", "credit_default", 30000, 0),
    ("hr_attrition", "hr_attrition", 1470, 0),
    ("uganda_malaria", "prism_uganda", 1421, 1),
]
OURS = [name for name, *_ in COPIES]


def declared(name: str) -> Schema:
    return read_schema(ROOT / "datasets" / f"{name}.yaml")


@pytest.mark.parametrize("name", OURS)
def test_every_domain_names_its_public_source(name: str) -> None:
    dataset = declared(name)
    unsourced = [
        f"{table.name}.{column.name}"
        for table in dataset.tables.values()
        for column in table.columns.values()
        if column.role != "key" and not column.source
    ]
    assert unsourced == []
    assert dataset.public and dataset.population.kind == "public" and dataset.licence


def test_each_is_a_population_of_its_own() -> None:
    names = [declared(name).population.name for name in OURS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "datasets").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_repair_that_a_declaration_names_exists(path: Path) -> None:
    for table in read_schema(path).tables.values():
        for column in table.columns.values():
            for name in column.repairs:
                repairs.named(name)


def test_an_unknown_repair_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no repair named 'guess'"):
        repairs.named("guess")


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the public copies are not here: set SYNDASERA_SHARED"
)
@pytest.mark.parametrize(("name", "folder", "n_patients", "n_dropped"), COPIES, ids=OURS)
def test_the_public_copy_fits_its_declaration(
    name: str,
    folder: str,
    n_patients: int,
    n_dropped: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    given = params.load(ROOT / "params.yaml")
    blocks = {block: dict(vars(getattr(given, block))) for block in params.BLOCKS}
    blocks["release"] |= {"dataset": name, "source": str(SHARED / folder)}
    workspace = Workspace(tmp_path / "run")
    stage.run(workspace, params.from_mapping(blocks), declared(name))
    report = json.loads(workspace.restricted.ingest_report.read_text())
    assert report["patients"]["kept"] == n_patients - n_dropped
    assert sum(report["dropped_patients_by_reason"].values()) == n_dropped
    assert 0.05 < report["patients"]["held_out"] / n_patients < 0.15
    assert report["out_of_balance"] == []
    assert report["events"]["left_out"] == {}
    reasons = {reason for table in report["tables"].values() for reason in table["left_out"]}
    assert reasons <= {account.OF_DROPPED, account.FAULT, account.EQUAL}
    kept = pl.read_parquet(workspace.restricted.patients)
    assert kept.columns == ["patient_id", *declared(name).patients]
    assert kept.height + report["patients"]["held_out"] == report["patients"]["kept"]
