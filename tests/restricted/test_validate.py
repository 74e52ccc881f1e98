"""The stage validate: rows never stop it, structure does, and no value of a row is in what it
writes. Rules are those of clinical_rules.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from account_cases import write_account
from registry_cases import ANN, EXTRACT, Tables, change, clean, schema

from pipeline import adapters, files, params
from pipeline.catalog import Workspace
from pipeline.checks import rules
from pipeline.checks.expectations import table_checks
from pipeline.restricted import validate

ROOT = Path(__file__).resolve().parents[2]
WEIRD, ODD_NUMBER = "ZZPLANTED", 47114711


def settings() -> params.Params:
    given = params.load(ROOT / "params.yaml")
    return replace(given, release=replace(given.release, extract_date=EXTRACT))


def workspace(root: Path, tables: Tables, *, with_log: bool = True) -> Workspace:
    made = Workspace(root)
    made.restricted.tables.mkdir(parents=True)
    write_account(made.restricted)
    for name, rows in tables.items():
        rows.write_parquet(made.restricted.tables / f"{name}.parquet")
    if with_log:
        log = adapters.to_log(schema(), clean()).log
        assert log.events is not None
        held_out = pl.col("patient_id") == ANN
        for frame, kept, out in (
            (log.patients, made.restricted.patients, made.restricted.holdout_patients),
            (log.events, made.restricted.events, made.restricted.holdout_events),
        ):
            frame.filter(~held_out).write_parquet(kept)
            frame.filter(held_out).write_parquet(out)
    return made


def planted() -> Tables:
    """Clean tables with values that would be recognised anywhere, some of which break rules."""
    tables = change(
        clean(),
        "sim_av_tumour",
        pl.col("TUMOURID") == 3,
        GRADE=WEIRD,
        COMORBIDITIES_27_03=WEIRD,
        AGE=ODD_NUMBER,
    )
    tables = change(
        tables,
        "sim_av_patient",
        pl.col("PATIENTID") == ANN,
        DEATHCAUSECODE_1B=WEIRD,
        LINKNUMBER=ODD_NUMBER,
    )
    return change(tables, "sim_av_gene", pl.lit(True), LAB_NAME=WEIRD, GENEID=WEIRD)


def test_rows_that_break_rules_are_counted_and_no_value_is_written(tmp_path: Path) -> None:
    made = workspace(tmp_path, planted())
    validate.run(made, settings(), schema())
    written = [path for path in made.restricted.validation.root.rglob("*") if path.is_file()]
    # 13 tables, 2 of the model's form, 2 of the rules, the index
    assert len(list((made.restricted.validation.docs).glob("*.html"))) == 18
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert WEIRD not in text, path.name
        assert str(ODD_NUMBER) not in text, path.name
    results = files.read_json(made.restricted.validation.results)
    broken = {
        rule["rule"]: rule["failing"] for rule in results["rules"] if rule["status"] == "fail"
    }
    assert {"16": 1, "23": 1, "33": 1, "35": 1}.items() <= broken.items()
    assert {int(rule["rule"][:2]) for rule in results["rules"]} == set(range(1, 59))
    assert results["most_broken"][0]["status"] in ("fail", "warn")
    failed = {one["expectation"] for suite in results["suites"] for one in suite["failed"]}
    assert {"sim_av_tumour.GRADE: column values to be in set", "rule 35"} <= failed
    assert next(rule for rule in results["rules"] if rule["rule"] == "54")["status"] == "pass"


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            lambda: {name: rows for name, rows in clean().items() if name != "sim_av_gene"},
            "table sim_av_gene is missing",
        ),
        (
            lambda: clean() | {"sim_av_tumour": clean()["sim_av_tumour"].drop("GRADE")},
            "sim_av_tumour: column GRADE is missing",
        ),
        (
            lambda: (
                clean()
                | {
                    "sim_av_tumour": clean()["sim_av_tumour"].with_columns(
                        pl.lit(WEIRD).alias("NEW")
                    )
                }
            ),
            "column NEW is not declared",
        ),
        (
            lambda: (
                clean()
                | {
                    "sim_av_tumour": (
                        clean()["sim_av_tumour"].with_columns(pl.col("AGE").cast(pl.String))
                    )
                }
            ),
            "AGE is String",
        ),
        (
            lambda: (
                clean()
                | {"sim_av_tumour": clean()["sim_av_tumour"].select(pl.all().reverse())[:, ::-1]}
            ),
            "not in the declared order",
        ),
    ],
    ids=["table", "column", "foreign", "type", "order"],
)
def test_another_structure_stops_the_run_and_writes_nothing(
    tmp_path: Path, tables, said: str
) -> None:
    made = workspace(tmp_path, tables(), with_log=False)
    with pytest.raises(ValueError, match=said) as stopped:
        validate.run(made, settings(), schema())
    assert WEIRD not in str(stopped.value)
    assert not made.restricted.validation.root.exists()


def test_two_patients_who_share_a_regimen_and_a_cycle_stop_nothing(tmp_path: Path) -> None:
    """Rows of a table without a patient's id are found through keys: a shared key makes no row
    twice, and no rule fails to run.
    """
    tables = clean()
    for name, patient in (("sim_sact_regimen", "ENCORE_PATIENT_ID"), ("sim_sact_cycle", None)):
        rows = tables[name]
        copy = (
            rows
            if patient is None
            else rows.with_columns(pl.lit(ANN, dtype=rows.schema[patient]).alias(patient))
        )
        tables[name] = pl.concat([rows, copy])
    made = workspace(tmp_path, tables)
    validate.run(made, settings(), schema())
    results = files.read_json(made.restricted.validation.results)
    assert "could not run" not in {rule["status"] for rule in results["rules"]}
    assert next(rule for rule in results["rules"] if rule["rule"] == "09")["status"] == "pass"


def test_a_rule_and_a_suite_that_raise_could_not_run_and_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException(WEIRD)  # what a fault in polars itself is: no Exception

    first, *others = rules.RULES
    monkeypatch.setattr(rules, "RULES", (replace(first, check=breaks, reads={}), *others))
    monkeypatch.setattr(table_checks, "run_suite", breaks)
    made = workspace(tmp_path, clean())
    validate.run(made, settings(), schema())
    text = (made.restricted.validation.results).read_text()
    results = files.read_json(made.restricted.validation.results)
    assert results["passed"] is False and WEIRD not in text
    assert [rule["rule"] for rule in results["rules"] if rule["status"] == "could not run"] == [
        first.id
    ]
    assert all(
        [one["expectation"] for one in suite["failed"]] == [f"{suite['suite']}: could not run"]
        for suite in results["suites"]
    )
    # on synthetic rows a check that cannot run is no silent pass
    with pytest.raises(pl.exceptions.PanicException):
        rules.check(schema(), clean(), rules.RuleContext(extract_date=EXTRACT, is_synthetic=True))
