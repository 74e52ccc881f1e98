"""Each F rule: clean patients pass, one planted breach costs exactly the patient who has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from registry_cases import ANN, BEA, CARL, CONTEXT, Tables, change, clean, schema, twice, without

from pipeline.checks.rules import RULES, RuleContext, check, failing_patients
from pipeline.checks.rules.model import Finding
from pipeline.checks.rules.registry import Registry

P, T, G = "sim_av_patient", "sim_av_tumour", "sim_av_gene"
R, C, D, O = (  # noqa: E741
    "sim_sact_regimen",
    "sim_sact_cycle",
    "sim_sact_drug_detail",
    "sim_sact_outcome",
)
E, X, Y, B = "sim_rtds_episode", "sim_rtds_prescription", "sim_rtds_exposure", "sim_rtds_combined"
ANY = pl.lit(True)


def person(number: int) -> pl.Expr:
    return pl.col("PATIENTID") == number


def tumour(number: int) -> pl.Expr:
    return pl.col("TUMOURID") == number


def in_all_rt(tables: Tables, names: str, **values: object) -> Tables:
    """A change to radiotherapy that keeps COMBINED in step."""
    for name in (*names, "B"):
        tables = change(tables, {"E": E, "X": X, "Y": Y, "B": B}[name], ANY, **values)
    return tables


def attendances_on_one_day(tables: Tables) -> Tables:
    return in_all_rt(tables, "EXY", APPTDATE=date(2018, 9, 3))


def too_old_at_death(tables: Tables) -> Tables:
    return change(
        change(tables, T, person(ANN), AGE=105), P, person(ANN), VITALSTATUSDATE=date(2022, 12, 1)
    )


Breach = Callable[[Tables], Tables]
BREACHES: list[tuple[str, int, Breach]] = [
    ("01", ANN, lambda t: twice(t, P, person(ANN))),
    ("01", BEA, lambda t: twice(t, C, pl.col("MERGED_CYCLE_ID") == 11)),
    ("01", ANN, lambda t: change(t, T, tumour(2), TUMOURID=None)),
    ("02", BEA, lambda t: change(t, R, ANY, LINK_NUMBER=1)),
    ("02", ANN, lambda t: change(t, P, person(ANN), LINKNUMBER=None)),
    ("03", ANN, lambda t: without(t, T, person(ANN))),
    ("03", BEA, lambda t: without(t, P, person(BEA))),
    ("04", BEA, lambda t: change(t, G, ANY, TUMOURID=1)),
    ("05a", BEA, lambda t: twice(t, O, ANY)),
    ("05a", 999, lambda t: change(t, R, ANY, ENCORE_PATIENT_ID=999)),
    ("06", CARL, lambda t: change(t, X, pl.col("ATTENDID") == "A1", ATTENDID="A9")),
    ("06", CARL, lambda t: change(t, Y, pl.col("ATTENDID") == "A1", PRESCRIPTIONID=99)),
    ("07", CARL, lambda t: change(t, B, pl.col("ATTENDID") == "A1", RTACTUALDOSE=30.0)),
    ("07", CARL, lambda t: without(t, B, pl.col("ATTENDID") == "A1")),
    ("09", ANN, lambda t: change(t, T, tumour(1), DATE_FIRST_SURGERY=date(1900, 1, 1))),
    ("09", CARL, lambda t: in_all_rt(t, "Y", TIMEOFEXPOSURE="1899-12-30")),
    ("10", BEA, lambda t: change(t, T, tumour(3), DIAGNOSISDATEBEST=date(2020, 1, 1))),
    ("11", ANN, lambda t: change(t, T, tumour(1), DATE_FIRST_SURGERY=date(2015, 10, 31))),
    ("11", ANN, lambda t: change(t, T, tumour(1), DATE_FIRST_SURGERY=date(2023, 1, 1))),
    ("12", ANN, lambda t: change(t, P, person(ANN), VITALSTATUSDATE=date(2019, 3, 31))),
    ("12", ANN, lambda t: change(t, P, person(ANN), VITALSTATUSDATE=None)),
    ("13", ANN, lambda t: change(t, T, tumour(1), DATE_FIRST_SURGERY=date(2020, 6, 3))),
    ("14a", CARL, lambda t: change(t, P, person(CARL), VITALSTATUSDATE=date(2018, 9, 4))),
    ("15a", BEA, lambda t: change(t, P, person(BEA), DEATHLOCATIONCODE="1")),
    ("16", ANN, lambda t: change(t, P, person(ANN), DEATHCAUSECODE_1B="C50,heart")),
    ("17", ANN, lambda t: change(t, T, tumour(1), DATE_FIRST_SURGERY=date(2017, 1, 28))),
    ("17", BEA, lambda t: change(t, T, tumour(3), DIAGNOSISDATEBEST=date(2018, 3, 20))),
    ("19", CARL, lambda t: change(t, T, person(CARL), GENDER="2")),
    ("19", CARL, lambda t: change(t, T, person(CARL), GENDER="9")),
    (
        "20",
        CARL,
        lambda t: change(t, T, person(CARL), SITE_ICD10_O2_3CHAR="C53", SITE_ICD10_O2="C539"),
    ),
    ("22a", CARL, lambda t: change(t, T, person(CARL), SITE_ICD10_O2="C629")),
    ("23", CARL, lambda t: change(t, T, person(CARL), AGE=106)),
    ("23", ANN, too_old_at_death),
    ("24", ANN, lambda t: change(t, T, tumour(2), AGE=72)),
    ("26", BEA, lambda t: change(t, T, tumour(3), STAGE_BEST="A")),
    ("26", CARL, lambda t: change(t, T, person(CARL), SITE_ICD10_O2_3CHAR="C71")),
    ("27a", BEA, lambda t: change(t, T, tumour(3), STAGE_BEST_SYSTEM="FIGO")),
    ("28", BEA, lambda t: change(t, T, tumour(3), M_BEST="0")),
    ("28", CARL, lambda t: change(t, T, person(CARL), M_BEST="1b")),
    ("30", BEA, lambda t: change(t, T, tumour(3), ER_STATUS="N")),
    ("30", BEA, lambda t: change(t, T, tumour(3), SCREENINGSTATUSFULL_CODE="6001")),
    ("31", CARL, lambda t: change(t, T, person(CARL), GLEASON_COMBINED=8)),
    ("32", BEA, lambda t: change(t, T, tumour(3), MORPH_ICD10_O2="9440")),
    ("32", BEA, lambda t: change(t, T, tumour(3), MORPH_ICDO3REV2011="8140x")),
    ("33", BEA, lambda t: change(t, T, tumour(3), GRADE="G9")),
    ("33", BEA, lambda t: change(t, P, person(BEA), ETHNICITY="QQQ")),
    ("35", BEA, lambda t: change(t, T, tumour(3), CHRL_TOT_27_03=3)),
    ("36a", BEA, lambda t: change(t, R, ANY, DATE_DECISION_TO_TREAT=date(2018, 2, 13))),
    ("37", BEA, lambda t: change(t, C, pl.col("MERGED_CYCLE_ID") == 12, CYCLE_NUMBER=3)),
    ("37", BEA, lambda t: change(t, R, ANY, START_DATE_OF_REGIMEN=date(2018, 2, 2))),
    (
        "39",
        BEA,
        lambda t: change(
            t, D, pl.col("MERGED_DRUG_DETAIL_ID") == 1100, ADMINISTRATION_DATE=date(2018, 3, 5)
        ),
    ),
    (
        "40",
        BEA,
        lambda t: change(t, D, pl.col("MERGED_DRUG_DETAIL_ID") == 1100, DRUG_GROUP="PACLITAXEL"),
    ),
    ("40", BEA, lambda t: change(t, R, ANY, BENCHMARK_GROUP="DOCETAXEL")),
    ("40", BEA, lambda t: without(t, D, pl.col("MERGED_CYCLE_ID") == 12)),
    (
        "41a",
        BEA,
        lambda t: change(t, D, pl.col("DRUG_GROUP") == "CAPECITABINE", ADMINISTRATION_ROUTE="1"),
    ),
    (
        "41a",
        BEA,
        lambda t: change(
            t, D, pl.col("MERGED_DRUG_DETAIL_ID") == 1100, ACTUAL_DOSE_PER_ADMINISTRATION=0.0
        ),
    ),
    ("42", BEA, lambda t: change(t, R, ANY, MAPPED_REGIMEN="ENZALUTAMIDE")),
    ("43", BEA, lambda t: change(t, O, ANY, DATE_OF_FINAL_TREATMENT=date(2018, 3, 1))),
    ("43", BEA, lambda t: change(t, O, ANY, REGIMEN_OUTCOME_SUMMARY="3")),
    ("44a", BEA, lambda t: change(t, R, ANY, HEIGHT_AT_START_OF_REGIMEN=-1.0)),
    ("46", CARL, lambda t: in_all_rt(t, "E", DECISIONTOTREATDATE=date(2018, 9, 4))),
    ("47a", CARL, attendances_on_one_day),
    ("47a", CARL, lambda t: in_all_rt(t, "X", RTACTUALFRACTIONS=3)),
    ("48", CARL, lambda t: in_all_rt(t, "X", RTACTUALDOSE=39.0)),
    ("48", CARL, lambda t: in_all_rt(t, "X", RTPRESCRIBEDDOSE=95.0)),
    ("50a", CARL, lambda t: in_all_rt(t, "Y", RADIOISOTOPE="Ir192")),
    ("52", BEA, lambda t: change(t, G, ANY, MIN_DATE=date(2018, 1, 21))),
    ("52", BEA, lambda t: change(t, G, ANY, NO_OF_AB_GATS=2)),
    ("52", BEA, lambda t: change(t, G, ANY, DNASEQ_GAT=None, NO_OF_AB_GATS=0)),
]
BROKEN_BY_TABLES = {
    rule.id for rule in RULES if rule.severity == "F" and rule.scope == "patient"
} - {"53", "54", "57"}


def test_the_58_rules_are_all_there() -> None:
    assert {rule.number for rule in RULES} == set(range(1, 59))
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_every_f_rule_has_a_planted_breach() -> None:
    assert {rule for rule, _, _ in BREACHES} == BROKEN_BY_TABLES


def test_clean_patients_break_no_rule() -> None:
    assert failing_patients(schema(), clean(), CONTEXT).height == 0
    results = check(schema(), clean(), CONTEXT)
    assert [o.rule.id for o in results.with_status("fail")] == []
    assert {o.rule.id for o in results.with_status("not applicable")} == {
        "53",
        "54",
        "55",
        "56",
        "57",
    }


@pytest.mark.parametrize(
    ("rule", "patient", "breach"),
    BREACHES,
    ids=[f"{rule}-{n}" for n, (rule, _, _) in enumerate(BREACHES)],
)
def test_a_planted_breach_costs_its_patient_and_nobody_else(
    rule: str, patient: int, breach: Breach
) -> None:
    found = failing_patients(schema(), breach(clean()), CONTEXT)
    assert patient in found.filter(pl.col("rule") == rule)["patient_id"].to_list()
    assert set(found["patient_id"]) <= ({999, BEA} if patient == 999 else {patient})


def test_a_rule_that_raises_costs_only_the_patient_whose_rows_do_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chokes_on_bea(registry: Registry, context: RuleContext) -> Finding | None:
        if registry.tables[P].filter(pl.col("PATIENTID") == BEA).height:
            raise OverflowError("a value that no rule foresaw")
        return rule.check(registry, context)

    rule = next(
        one for one in RULES if one.severity == "F" and one.scope == "patient" and P in one.tables
    )
    monkeypatch.setattr(
        "pipeline.checks.rules.RULES",
        tuple(replace(one, check=chokes_on_bea) if one is rule else one for one in RULES),
    )
    assert failing_patients(schema(), clean(), CONTEXT).rows() == [(BEA, rule.id)]


def test_check_names_the_rule_that_is_broken() -> None:
    results = check(schema(), change(clean(), R, ANY, HEIGHT_AT_START_OF_REGIMEN=-1.0), CONTEXT)
    assert [(o.rule.id, o.n_failing, o.n_rows) for o in results.with_status("fail")] == [
        ("44a", 1, 1)
    ]


def test_a_key_shared_by_two_patients_drops_neither_but_is_seen_across_patients() -> None:
    shared = change(clean(), T, tumour(4), TUMOURID=1)
    assert failing_patients(schema(), shared, CONTEXT).height == 0
    assert check(schema(), shared, CONTEXT)["01"].n_failing == 2
    assert (
        check(schema(), change(clean(), P, person(CARL), LINKNUMBER=900 + ANN), CONTEXT)[
            "02"
        ].n_failing
        == 2
    )


def test_a_row_of_nobody_fails_the_table_and_no_patient() -> None:
    orphan = change(clean(), C, pl.col("MERGED_CYCLE_ID") == 12, MERGED_REGIMEN_ID=77)
    assert check(schema(), orphan, CONTEXT)["05a"].status == "fail"
    assert failing_patients(schema(), orphan, CONTEXT)["patient_id"].null_count() == 0


def test_rules_on_absent_optional_tables_are_not_applicable() -> None:
    few = {name: rows for name, rows in clean().items() if name in (P, T)}
    results = check(schema(), few, CONTEXT)
    assert results["37"].status == "not applicable"
    assert results["13"].status == "pass"


def test_a_day_after_death_is_tolerated_on_the_source_only() -> None:
    late = change(clean(), T, tumour(1), DATE_FIRST_SURGERY=date(2020, 6, 2))
    assert check(schema(), late, CONTEXT)["13"].status == "pass"
    assert check(schema(), late, replace(CONTEXT, is_synthetic=True))["13"].status == "fail"


def test_a_table_with_columns_out_of_order_fails_rule_8() -> None:
    tables = clean()
    assert check(schema(), tables, CONTEXT)["08"].status == "pass"
    shuffled = tables | {T: tables[T].select(sorted(tables[T].columns))}
    assert check(schema(), shuffled, CONTEXT)["08"].status == "fail"
    untyped = tables | {T: tables[T].with_columns(pl.col("AGE").cast(pl.String))}
    assert check(schema(), untyped, CONTEXT)["08"].status == "fail"
