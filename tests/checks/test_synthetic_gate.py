"""The gate on synthetic tables: F stops, W warns, and it names the rule of clinical_rules.md that
is broken.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from registry_cases import EXTRACT, Tables, change, clean, schema
from ruamel.yaml import YAML

from pipeline import adapters, files
from pipeline.checks.rules import check_gate
from pipeline.checks.synthetic_gate import (
    GateResult,
    check_synthetic,
    grammar_breaches,
    static_breaches,
)
from pipeline.params import GateParams, from_mapping
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema

ROOT = Path(__file__).resolve().parents[2]
T = "sim_av_tumour"


@pytest.fixture(scope="module")
def synthetic() -> tuple[Tables, PatientLog]:
    """Tables as the sample stage writes them, and the model-level form they were made from."""
    log = adapters.to_log(schema(), clean()).log
    log = adapters.canonical(schema(), log, extract_date=EXTRACT)
    return adapters.to_tables(schema(), log, extract_date=EXTRACT), log


def test_legal_synthetic_tables_pass_and_rates_only_warn(synthetic, tmp_path: Path) -> None:
    tables, log = synthetic
    result = check_synthetic(schema(), tables, log, extract_date=EXTRACT, out=tmp_path)
    assert result.failures == ()
    # three patients have not the registry's rates
    assert any(warning.startswith("rule 58") for warning in result.warnings)
    assert files.read_json(tmp_path / "gate.json")["passed"] is True
    assert (tmp_path / "docs" / "index.html").exists()


def test_an_f_rule_and_a_foreign_value_stop_the_release(synthetic) -> None:
    tables, log = synthetic
    broken = change(tables, T, pl.col("SITE_ICD10_O2_3CHAR") == "C18", STAGE_BEST="A", GRADE="G9")
    result = check_synthetic(schema(), broken, log, extract_date=EXTRACT)
    assert not result.passed
    named = [failure.split(" (")[0] for failure in result.failures]
    assert {"rule 26", "rule 33", f"{T}.GRADE: column values to be in set"} <= set(named)


def test_every_broken_implication_is_named(synthetic) -> None:
    patients = synthetic[1].patients
    assert static_breaches(schema(), patients) == []
    foreign = patients.with_columns(
        pl.when(pl.col("SITE_ICD10_O2_3CHAR") == "C61")
        .then(pl.lit("2"))
        .otherwise(pl.col("GENDER"))
        .alias("GENDER")
    )
    assert static_breaches(schema(), foreign) == ["GENDER does not fit SITE_ICD10_O2_3CHAR"]


def test_an_illegal_pathway_is_named(synthetic) -> None:
    log = synthetic[1]
    assert grammar_breaches(schema(), log) == []
    assert (
        grammar_breaches(
            schema(),
            PatientLog(log.patients, log.events.filter(~pl.col("type").is_in(["DEATH", "CENSOR"]))),
        )
        != []
    )


def test_another_structure_fails_before_any_rule(synthetic) -> None:
    tables, log = synthetic
    result = check_synthetic(
        schema(),
        {name: rows for name, rows in tables.items() if name != T},
        log,
        extract_date=EXTRACT,
    )
    assert result.failures == (f"table {T} is missing",)
    result = check_synthetic(
        schema(), tables | {T: tables[T].drop("GRADE")}, log, extract_date=EXTRACT
    )
    assert result.failures == (f"{T}: column GRADE is missing",)


def test_a_folder_of_parquet_is_read_by_its_headers(tmp_path: Path) -> None:
    heart = read_schema(ROOT / "datasets" / "uci_heart.yaml")
    table = next(iter(heart.tables.values()))
    row = {
        c.name: c.categories[0] if c.categories else int(c.lower or 0)
        for c in table.columns.values()
        if c.role != "key"
    }
    types = {
        c.name: pl.String if c.categories else pl.Float64 if c.decimals else pl.Int64
        for c in table.columns.values()
    }
    rows = pl.DataFrame(
        [row], schema_overrides={name: kind for name, kind in types.items() if name in row}
    )
    rows = rows.select(
        [pl.lit(1).alias(name) if name not in row else pl.col(name) for name in table.columns]
    )
    rows.rename({c.name: c.header for c in table.columns.values() if c.header}).write_parquet(
        tmp_path / f"{table.file}.parquet"
    )
    assert check_synthetic(heart, tmp_path).failures == ()
    with pytest.raises(ValueError, match="holds no Parquet file"):
        check_synthetic(heart, tmp_path / "nothing_here")


def gate_of(text: str) -> GateParams:
    """The gate block of params.yaml with this content."""
    value = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return from_mapping({**value, "gate": YAML(typ="safe").load(text)}).gate


def test_the_params_make_a_warning_stop_the_release(synthetic) -> None:
    """A legal rate out of reach is warned of, and stops what the params say that it stops."""
    tables, log = synthetic

    def ask(text: str) -> GateResult:
        return check_synthetic(schema(), tables, log, extract_date=EXTRACT, gate=gate_of(text))

    as_it_is, out_of_reach = ask("{}"), ask("bounds: {5b: [0.99, 1.0]}")
    assert as_it_is.failures == out_of_reach.failures == ()
    assert any("05b" in warning for warning in out_of_reach.warnings)
    assert not any("05b" in warning for warning in as_it_is.warnings)
    stopped = ask("{bounds: {5b: [0.99, 1.0]}, stops: [5b]}")
    assert any("05b" in failure for failure in stopped.failures)
    assert ask("stops: [5b]").failures == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("stops: [1]", "gate.stops names '01'; it takes"),
        ("stops: [55]", "gate.stops names '55'"),
        ("stops: [99]", "gate.stops names '99'"),
        ("bounds: {12: [0, 1]}", "gate.bounds names '12'"),
        ("bounds: {29: 0.5}", r"gate.bounds.29 must be \[lowest, highest\]"),
        ("bounds: {29: [0.5, 0.1]}", "the lowest, 0.5, is above the highest, 0.1"),
        ("bounds: {29: [yes, 1]}", "gate.bounds.29 must be"),
        ("bounds: [29]", "gate.bounds must be a mapping"),
        ("rare_below: -1", "gate.rare_below must be at least 0"),
        ("stop: [29]", "unknown key gate.stop"),
    ],
)
def test_thresholds_that_there_are_not_are_refused(text: str, what: str) -> None:
    with pytest.raises(Refusal, match=what):
        check_gate(gate_of(text))
