"""What a card says of how sure a reader can be comes from the release's own noise."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.catalog import Estimates, Patients
from pipeline.evaluation.gate_words import GateWarning, gate_warnings
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable, category_counts, load, save
from pipeline.params import TrainParams
from pipeline.released import card_evidence, card_limits
from pipeline.released.card_limits import ModelFacts, limits
from pipeline.released.estimates import write_estimates
from pipeline.released.evidence_facts import EvidenceFacts
from pipeline.restricted.train import fit_public
from pipeline.schema.reader import read_schema

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
HEART = DATASETS / "uci_heart.yaml"
SEX = Axis("sex", (Cell(("F",)), Cell(("M",)), Cell((None,))))
AGE = Axis("age", (Cell(low=0.0, high=39.0), Cell(low=40.0, high=99.0), Cell((None,))))


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> tuple[EvidenceFacts, Estimates]:
    """Of a small public table: its model, and its own patients taken for synthetic ones."""
    folder = tmp_path_factory.mktemp("release")
    schema, rng = read_schema(HEART), np.random.default_rng(1)
    columns = {
        name: (
            rng.choice(column.categories, 300).tolist()
            if column.categories
            else rng.integers(int(column.lower), int(column.upper), 300).astype(float).tolist()
        )
        for name, column in schema.patients.items()
    }
    patients = pl.DataFrame({"patient_id": range(1, 301), **columns})
    settings = TrainParams(
        shares={"table": 1.0, "pathway": 1.0},
        table={"steps": 20, "first_steps": 10},
        pathway={},
        device="cpu",
        checkpoint_steps=10,
    )
    fit_public(schema, patients, None, 1.0, 1e-6, settings, folder / "model")
    synthetic = Patients(folder)
    patients.write_parquet(synthetic.patients)
    out = Estimates(folder / "estimates")
    facts = write_estimates(schema, folder / "model", synthetic, out)
    assert facts is not None
    return facts, out


def test_every_figure_has_its_line(evidence: tuple[EvidenceFacts, Estimates]) -> None:
    facts, out = evidence
    with out.shares.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(facts.cells.values())
    for line in lines:
        low, high = float(line["source_low"]), float(line["source_high"])
        assert 0 <= low <= float(line["estimate"]) + 1e-9 and high <= 1
        assert float(line["population_low"]) <= low + 1e-4
        assert line["evidence"] in ("reliable", "indicative", "noise")
    assert not out.survival.exists()


def test_limits_are_those_of_the_noise(evidence: tuple[EvidenceFacts, Estimates]) -> None:
    facts, _ = evidence
    said = limits(read_schema(HEART), ModelFacts(evidence=facts))[0]
    least = min(t.clear for t in facts.thresholds["single columns"])
    assert f"below {least:,}" in said and "50 patients" not in said
    page = "\n".join(card_evidence.markdown(facts.to_json()))
    assert "How sure a reader can be" in page and "at most" in page
    assert card_evidence.markdown(None) == []
    assert "older model" in card_limits.limits(read_schema(HEART), ModelFacts())[0]


def test_noisy_tables_come_back_as_they_were(tmp_path: Path) -> None:
    counts = np.array([[5.0, -2.0, 7.0], [1.0, 0.0, 3.0], [0.0, 1.0, 2.0]])
    tables = [
        NoisyTable("one/sex", (SEX,), np.array([3.0, 4.0, -1.0]), 2.5),
        NoisyTable("pair/sex/age", (SEX, AGE), counts, 1.25),
    ]
    save(tmp_path, tables)
    again = load(tmp_path)
    assert [(t.name, t.axes, t.sigma) for t in again] == [(t.name, t.axes, t.sigma) for t in tables]
    assert all((a.counts == b.counts).all() for a, b in zip(again, tables, strict=True))
    assert category_counts(again) == {"sex": {"F": 3.0, "M": 4.0}}
    assert load(tmp_path / "absent") == ()


def test_warnings_of_the_gate_are_said_as_people_read_them() -> None:
    rule = {"rule": "21", "title": "Men among breast cancers", "severity": "W", "status": "warn"}
    mean = {**rule, "rule": "58a", "title": "Tumours"}
    gate = {
        "rules": [
            {**rule, "rate": 0.44, "lowest": 0.004, "highest": 0.015},
            {**mean, "rate": 1.2, "lowest": 1.03, "highest": 1.15},
            {**rule, "rule": "44b", "rate": 1.0, "lowest": None, "highest": 0.0},
            {**rule, "rule": "3", "status": "pass", "rate": 0.0, "lowest": None, "highest": 0.0},
        ],
        "warnings": ["clinical rule 21 (44% of rows)", "column age is missing (90% of rows)"],
    }
    assert [str(warning) for warning in gate_warnings(gate)] == [
        "Men among breast cancers; 44% of rows (expected 0.4% to 1.5%) [clinical rule 21]",
        "Tumours: 1.2, expected from 1.03 up to 1.15 [clinical rule 58a]",
        "Men among breast cancers; 100% of rows (expected none) [clinical rule 44b]",
        "column age is missing (90% of rows) [expectation]",
    ]
    small = GateWarning(rule="r", words="w", rate=0.0002, allowed=(0.5, 1.0))
    assert str(small) == "w; 0.02% of rows (expected at least 50%) [r]"
    assert gate_warnings({}) == []
