"""The rules on simulated extracts, on event logs, and across patients."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from registry_cases import ANN, BEA, CONTEXT, EXTRACT, change, clean, read_csvs, schema

from pipeline import adapters
from pipeline.checks.expectations.table_checks import by_patient, rates
from pipeline.checks.rules import Rule, RuleContext, check, failing_patients
from pipeline.checks.rules.extract import copies, missing_shares
from pipeline.params import GateParams
from pipeline.schema.patient_log import PatientLog
from pipeline.simulator.simulate import simulate

T, R, C, E = "sim_av_tumour", "sim_sact_regimen", "sim_sact_cycle", "sim_rtds_episode"
ANY = pl.lit(True)


@pytest.fixture(scope="module")
def broken(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, pl.DataFrame], dict[int, int]]:
    """An extract of which each F rule is broken by one patient of its own, and who breaks which."""
    folder = tmp_path_factory.mktemp("simulated") / "extract"
    simulate(3000, 3, folder, every_rule=True)
    told = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["dirt"]["broken"]
    return read_csvs(folder), {int(rule): entry["patient"] for rule, entry in told.items()}


def test_the_simulators_breaches_cost_exactly_their_patients(broken) -> None:
    tables, told = broken
    found = failing_patients(schema(), tables, CONTEXT)
    by_rule = found.with_columns(pl.col("rule").str.slice(0, 2).cast(pl.Int64).alias("number"))
    missed = [
        rule
        for rule, patient in told.items()
        if by_rule.filter((pl.col("number") == rule) & (pl.col("patient_id") == patient)).is_empty()
    ]
    assert missed == []
    assert set(found["patient_id"]) == set(told.values())


def test_nobodys_answer_depends_on_other_patients(broken) -> None:
    """Stability (privacy_rules.md 7): the patients in two halves give the same answers as all of
    them together.
    """
    tables, _ = broken
    whole = failing_patients(schema(), tables, CONTEXT)
    halves = [failing_patients(schema(), _half(tables, half), CONTEXT) for half in (0, 1)]
    assert whole.equals(pl.concat(halves).sort("patient_id", "rule"))


def _half(tables: dict[str, pl.DataFrame], half: int) -> dict[str, pl.DataFrame]:
    kept = {}
    for name, declared in schema().tables.items():
        if declared.patient:
            kept[name] = tables[name].filter(pl.col(declared.patient) % 2 == half)
        else:
            assert declared.through is not None
            parent, key = declared.through
            kept[name] = tables[name].join(kept[parent].select(key).unique(), on=key, how="semi")
    return kept


def _log() -> PatientLog:
    log = adapters.to_log(schema(), clean()).log
    assert log.events is not None
    return PatientLog(log.patients, log.events)


def test_the_log_of_clean_tables_is_well_formed_and_rebuilds() -> None:
    results = check(schema(), clean(), CONTEXT, _log())
    assert (results["53"].status, results["54"].status) == ("pass", "pass")


@pytest.mark.parametrize(
    "broken_events",
    [
        lambda events: events.filter(~pl.col("type").is_in(["DEATH", "CENSOR"])),
        lambda events: events.with_columns(
            pl.when(pl.col("seq") == 1).then(7).otherwise(pl.col("seq")).cast(pl.Int32).alias("seq")
        ),
        lambda events: events.filter(pl.col("type") != "NEW_TUMOUR"),
        lambda events: events.with_columns(
            pl.when(pl.col("seq") == 0)
            .then(5000)
            .otherwise(pl.col("day"))
            .cast(pl.Int32)
            .alias("day")
        ),
        lambda events: events.filter(pl.col("type") != "DIAGNOSIS"),
    ],
    ids=["no end", "a gap in seq", "a tumour without event", "out of order", "no diagnosis"],
)
def test_a_malformed_log_fails_rule_53(broken_events) -> None:
    log = _log()
    results = check(schema(), clean(), CONTEXT, PatientLog(log.patients, broken_events(log.events)))
    assert results["53"].status == "fail"


def test_a_log_that_differs_from_the_tables_fails_rule_54() -> None:
    moved = _log().events.with_columns(
        pl.when(pl.col("type") == "SURGERY")
        .then(pl.col("day") + 1)
        .otherwise(pl.col("day"))
        .alias("day")
    )
    results = check(schema(), clean(), CONTEXT, PatientLog(_log().patients, moved))
    assert [(o.rule.id, o.n_failing) for o in results.with_status("fail")] == [("54", 1)]


@pytest.mark.parametrize(
    ("rule", "tables"),
    [
        ("36b", lambda t: change(t, R, ANY, DATE_DECISION_TO_TREAT=date(2017, 8, 1))),
        (
            "38a",
            lambda t: change(
                t, C, pl.col("MERGED_CYCLE_ID") == 12, START_DATE_OF_CYCLE=date(2018, 9, 5)
            ),
        ),
        ("29", lambda t: change(t, T, pl.col("TUMOURID") == 1, BEHAVIOUR_ICD10_O2="2")),
        ("34", lambda t: change(t, T, pl.col("TUMOURID") == 3, LATERALITY="L")),
        (
            "18",
            lambda t: change(t, T, pl.col("TUMOURID") == 1, DATE_FIRST_SURGERY=date(2017, 2, 20)),
        ),
        ("47b", lambda t: change(t, E, pl.col("ATTENDID") == "A4", APPTDATE=date(2018, 9, 8))),
        ("44b", lambda t: change(t, R, ANY, HEIGHT_AT_START_OF_REGIMEN=None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rate_over_its_threshold_warns(rule: str, tables) -> None:
    assert check(schema(), clean(), CONTEXT)[rule].status == "pass"
    assert check(schema(), tables(clean()), CONTEXT)[rule].status == "warn"


def test_bounds_include_their_ends() -> None:
    rule = Rule(
        number=1,
        title="",
        severity="W",
        scope="rate",
        bounds=(0.004, 0.015),
        check=lambda registry, context: None,
    )
    assert [rule.accepts(rate) for rate in (0.0039, 0.004, 0.015, 0.0151, None)] == [
        False,
        True,
        True,
        False,
        True,
    ]


def test_missing_shares_are_compared_only_where_the_restricted_zone_gives_them() -> None:
    tables = clean()
    profile = missing_shares(tables)
    assert check(schema(), tables, CONTEXT)["55"].status == "not applicable"
    assert check(schema(), tables, replace(CONTEXT, missing_share=profile))["55"].status == "pass"
    emptier = change(tables, T, pl.col("TUMOURID") == 1, GRADE=None)
    assert check(schema(), emptier, replace(CONTEXT, missing_share=profile))["55"].status == "warn"
    carried = change(tables, "sim_av_gene", ANY, SEQ_VAR=None)  # empty in an extract by design
    assert check(schema(), carried, replace(CONTEXT, missing_share=profile))["55"].status == "pass"


def test_copies_are_counted_and_never_gate() -> None:
    patients = _log().patients
    assert copies(patients, patients.head(1), patients.columns[1:]) == 1
    assert (
        check(schema(), clean(), replace(CONTEXT, is_synthetic=True))["56"].status
        == "not applicable"
    )


def test_rare_categories_go_by_charged_counts() -> None:
    synthetic = RuleContext(
        extract_date=EXTRACT,
        is_synthetic=True,
        noisy_counts={"SITE_ICD10_O2_3CHAR": {"C50": 3.0, "C18": 40.0}},
    )
    assert check(schema(), clean(), synthetic)["57"].n_failing == 1
    assert (
        check(schema(), clean(), replace(synthetic, gate=GateParams(rare_below=2.0)))["57"].status
        == "pass"
    )
    assert {ANN, BEA} <= set(clean()[T]["PATIENTID"])


@pytest.mark.parametrize(
    "kept", [(), ("sim_av_patient", "sim_av_tumour")], ids=["no row at all", "nobody treated"]
)
def test_empty_tables_break_nothing(kept: tuple[str, ...]) -> None:
    few = {name: rows if name in kept else rows.clear() for name, rows in clean().items()}
    assert failing_patients(schema(), few, CONTEXT).height == 0
    assert check(schema(), few, CONTEXT).with_status("fail") == ()


def test_ids_may_be_text() -> None:
    tables = change(clean(), T, pl.col("TUMOURID") == 3, GRADE="G9")
    named = {
        name: rows.with_columns(
            pl.col(column.name).cast(pl.String)
            for column in schema().tables[name].columns.values()
            if column.kind == "id"
        )
        for name, rows in tables.items()
    }
    assert failing_patients(schema(), named, CONTEXT).rows() == [(str(BEA), "33")]


def test_the_table_of_results_has_a_row_for_each_patient_and_one_for_orphan_rows() -> None:
    tables = change(clean(), C, pl.col("MERGED_CYCLE_ID") == 12, MERGED_REGIMEN_ID=77)
    tables = change(tables, T, pl.col("TUMOURID") == 3, GRADE="G9")
    table = by_patient(check(schema(), tables, CONTEXT), pl.Series([ANN, BEA]))
    assert table.filter(pl.col("rule_33") == False)["patient_id"].to_list() == [BEA]  # noqa: E712
    assert table.filter(pl.col("rule_05a") == False)["patient_id"].to_list() == [None]  # noqa: E712
    assert table["rule_53"].null_count() == 3  # not applicable: no log was given
    assert rates(check(schema(), tables, CONTEXT)).height == 1
