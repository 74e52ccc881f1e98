"""Synthetic pathways become tables that keep every F rule of clinical_rules.md, whatever a model
draws.
"""

import csv
import os
import re
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from extracts import EXTRACT, ROOT, pathways, random_log
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters import canonical, to_tables
from pipeline.adapters.frames import complete_events, in_declared_order, physical, static_columns
from pipeline.checks import rules
from pipeline.schema.codes import drug_regimens, lists
from pipeline.schema.patient_log import PatientLog

SEEDS = st.integers(10_001, 20_000)
FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DIAGNOSED = date(2018, 3, 5)


def patient(number: int = 1, **changes: object) -> dict[str, object]:
    """A woman with breast cancer."""
    return {
        "patient_id": number,
        "SITE_GROUP": "Breast",
        "SITE_ICD10_O2_3CHAR": "C50",
        "GENDER": "2",
        "AGE": 61,
        "ETHNICITY": "A",
        "QUINTILE_2019": "2",
        "CREG_CODE": "L0201",
        "DIAGNOSISDATEBEST": DIAGNOSED,
        "FINAL_ROUTE": "Screen detected",
        "STAGE_GROUP": "2",
        "STAGE_BEST": "2A",
        "MORPH_ICD10_O2": "8500",
        "T_BEST": "2",
        "N_BEST": "0",
        "M_BEST": "0",
        "GRADE": "G2",
        "LATERALITY": "L",
        "ER_STATUS": "P",
        "PR_STATUS": None,
        "HER2_STATUS": "N",
        "GLEASON_PRIMARY": None,
        "GLEASON_SECONDARY": None,
        "CANCERCAREPLANINTENT": "C",
        "PERFORMANCESTATUS": "0",
        "CHRL_TOT_27_03": "3",
        "HEIGHT": 1.6,
        "WEIGHT": 65.0,
    } | changes


def tables(
    *events: tuple,
    end: tuple = (4000, "CENSOR", "A"),
    extract_date: date | None = EXTRACT,
    **changes: object,
) -> dict[str, pl.DataFrame]:
    """The tables of one patient with a diagnosis at day 0, `events` (day, type, code, attributes)
    and an end.
    """
    rows = [
        {"patient_id": 1, "day": day, "type": kind, "code": code, **(more[0] if more else {})}
        for day, kind, code, *more in [(0, "DIAGNOSIS", None), *events, end]
    ]
    log = pathways().events
    events = in_declared_order(
        complete_events(pl.DataFrame(rows, infer_schema_length=None), log), log
    )
    people = static_columns(
        pathways(), pl.DataFrame([patient(**changes)], infer_schema_length=None)
    )
    return to_tables(pathways(), PatientLog(people, events), extract_date=extract_date)


def day(number: int) -> date:
    return DIAGNOSED + timedelta(days=number)


@FEW
@given(SEEDS)
def test_no_rule_that_stops_a_release_is_broken(seed):
    log = canonical(pathways(), random_log(seed, 40), extract_date=EXTRACT)
    context = rules.RuleContext(extract_date=EXTRACT, is_synthetic=True)
    results = rules.check(
        pathways(),
        to_tables(pathways(), log, extract_date=EXTRACT),
        context,
        log,
    )
    assert [outcome.rule.title for outcome in results.with_status("fail")] == []
    assert len(results.with_status("pass")) > 40  # the rules did look


def test_columns_stand_in_the_published_order_and_in_their_types():
    found = tables((10, "SURGERY", None))
    for name, rows in found.items():
        declared = pathways().tables[name].columns
        assert dict(rows.schema) == {
            column: physical(value) for column, value in declared.items()
        }, name


def test_the_declaration_has_every_published_column_in_order():
    shared = (
        Path(os.environ.get("SYNDASERA_SHARED") or ROOT.parent / "shared")
        / "data"
        / "simulacrum_schema"
        / "v2_1_columns.csv"
    )
    if not shared.is_file():
        pytest.skip("the published column list lies in ../shared, which is not here")
    published: dict[str, list[str]] = {}
    with shared.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            published.setdefault(row["table"].lower(), []).append(row["column"])
    declared = {
        name: list(table.columns)
        for name, table in pathways().tables.items()
        if name.startswith("sim_")
    }
    assert declared == published
    assert sum(map(len, published.values())) == 162


def test_carried_columns_are_empty():
    found = tables(
        (20, "SACT_REGIMEN", "FEC-T"),
        (20, "SACT_CYCLE", None),
        (60, "GENE_TEST", "BRCA1"),
        (90, "RADIOTHERAPY", "40/15"),
    )
    for name, rows in found.items():
        for column in pathways().tables[name].columns.values():
            if column.role == "carried":
                assert rows[column.name].null_count() == rows.height


def test_regimens_have_numbered_cycles_with_the_drugs_of_the_public_list():
    found = tables(
        (20, "SACT_REGIMEN", "FEC-T", {"decision_days": "8-14", "intent": "A"}),
        (20, "SACT_CYCLE", None),
        (41, "SACT_CYCLE", None),
        (62, "SACT_CYCLE", None),
        (83, "SACT_CYCLE", None),
        (90, "SACT_END", "0", {"modified": "YNN"}),
    )
    cycles, drugs, outcome = (
        found["sim_sact_cycle"],
        found["sim_sact_drug_detail"],
        found["sim_sact_outcome"],
    )
    assert cycles["CYCLE_NUMBER"].to_list() == [1, 2, 3, 4]
    assert cycles["START_DATE_OF_CYCLE"].to_list() == [day(20), day(41), day(62), day(83)]
    given_in = (
        drugs.join(cycles.select("MERGED_CYCLE_ID", "CYCLE_NUMBER"), on="MERGED_CYCLE_ID")
        .group_by("CYCLE_NUMBER")
        .agg("DRUG_GROUP")
        .sort("CYCLE_NUMBER")
    )
    assert set(given_in["DRUG_GROUP"][0]) == {"FLUOROURACIL", "EPIRUBICIN", "CYCLOPHOSPHAMIDE"}
    assert given_in["DRUG_GROUP"][3].to_list() == ["DOCETAXEL"]
    surface = (160 * 65 / 3600) ** 0.5  # Mosteller
    fluorouracil = (
        drugs.filter(pl.col("DRUG_GROUP") == "FLUOROURACIL")
        .sort("ADMINISTRATION_DATE")["ACTUAL_DOSE_PER_ADMINISTRATION"]
        .to_list()
    )
    assert fluorouracil == [
        round(500 * surface / 5) * 5,
        round(400 * surface / 5) * 5,
        round(400 * surface / 5) * 5,
    ]
    assert outcome.select(
        "DATE_OF_FINAL_TREATMENT", "REGIMEN_MOD_DOSE_REDUCTION", "REGIMEN_OUTCOME_SUMMARY"
    ).row(0) == (day(90), "Y", "0")
    regimen = found["sim_sact_regimen"].row(0, named=True)
    assert 8 <= (regimen["START_DATE_OF_REGIMEN"] - regimen["DATE_DECISION_TO_TREAT"]).days <= 14
    assert regimen["BENCHMARK_GROUP"] == drug_regimens.regimens()["FEC-T"].benchmark_group


def test_a_regimen_without_cycles_gets_one_and_every_regimen_an_outcome():
    found = tables(
        (20, "SACT_REGIMEN", "CAPECITABINE"),
        (200, "SACT_REGIMEN", "ERIBULIN"),
        (230, "SACT_CYCLE", None),
    )
    assert found["sim_sact_cycle"]["START_DATE_OF_CYCLE"].to_list() == [day(20), day(200), day(230)]
    assert found["sim_sact_outcome"].height == 2
    assert found["sim_sact_outcome"]["REGIMEN_OUTCOME_SUMMARY"].null_count() == 2


def test_weekly_days_stop_before_the_next_cycle_and_the_end():
    found = tables(
        (20, "SACT_REGIMEN", "PACLITAXEL WEEKLY"),
        (20, "SACT_CYCLE", None),
        (30, "SACT_CYCLE", None),
        end=(40, "DEATH", "tumour"),
    )
    # no day 34 + ... after the death
    assert found["sim_sact_drug_detail"]["ADMINISTRATION_DATE"].to_list() == [
        day(20),
        day(27),
        day(30),
        day(37),
    ]


def test_outcome_died_needs_a_death_within_90_days():
    treated = [
        (20, "SACT_REGIMEN", "CAPECITABINE"),
        (20, "SACT_CYCLE", None),
        (30, "SACT_END", "3"),
    ]
    assert tables(*treated, end=(100, "DEATH", "tumour"))["sim_sact_outcome"][
        "REGIMEN_OUTCOME_SUMMARY"
    ].to_list() == ["3"]
    assert tables(*treated, end=(300, "DEATH", "tumour"))["sim_sact_outcome"][
        "REGIMEN_OUTCOME_SUMMARY"
    ].to_list() == ["5"]
    assert tables(*treated)["sim_sact_outcome"]["REGIMEN_OUTCOME_SUMMARY"].to_list() == ["5"]


def test_radiotherapy_is_given_on_weekdays_until_the_end():
    saturday = next(n for n in range(30, 40) if day(n).weekday() == 5)
    found = tables(
        (saturday, "RADIOTHERAPY", "40/15", {"rt_intent": "3", "decision_days": "15-21"}),
        end=(saturday + 8, "DEATH", "other"),
    )
    episode, prescription = found["sim_rtds_episode"], found["sim_rtds_prescription"]
    # Monday to Friday; death on Sunday
    assert episode["APPTDATE"].to_list() == [day(saturday + n) for n in (2, 3, 4, 5, 6)]
    assert prescription["RTACTUALFRACTIONS"].unique().to_list() == [5]
    assert prescription["RTACTUALDOSE"].unique().to_list() == pytest.approx([40 / 3], abs=0.01)
    assert 15 <= (episode["APPTDATE"].min() - episode["DECISIONTOTREATDATE"][0]).days <= 21
    # patient 1 has two exposures at each attendance, some minutes apart
    assert found["sim_rtds_combined"].height == found["sim_rtds_exposure"].height == 10
    exposures = found["sim_rtds_exposure"].group_by("ATTENDID").agg("TIMEOFEXPOSURE")
    assert all(
        len(set(times)) == 2 and all(re.fullmatch(r"\d\d:\d\d", time) for time in times)
        for times in exposures["TIMEOFEXPOSURE"]
    )
    assert episode["ATTENDID"].to_list() == [
        f"10000001.{day:%Y%m%d}" for day in episode["APPTDATE"]
    ]
    assert re.fullmatch("L[A-Z]{2}", episode["LINKCODE"][0])


def test_observation_ends_at_the_extract_date():
    late = day(1500)
    alive = tables(
        (1400, "SURGERY", None),
        end=(2000, "DEATH", "tumour", {"death_location": "1"}),
        extract_date=late,
    )
    row = alive["sim_av_patient"].row(0, named=True)
    assert (
        row["VITALSTATUS"],
        row["VITALSTATUSDATE"],
        row["DEATHCAUSECODE_UNDERLYING"],
        row["DEATHLOCATIONCODE"],
    ) == ("A", late, None, None)
    assert alive["sim_av_tumour"]["DATE_FIRST_SURGERY"].to_list() == [day(1400)]
    before = tables((1400, "SURGERY", None), extract_date=day(1300))
    assert before["sim_av_tumour"]["DATE_FIRST_SURGERY"].to_list() == [None]
    assert before["sim_av_patient"]["VITALSTATUSDATE"].to_list() == [day(1300)]


def test_a_death_says_its_cause_group():
    assert tables(end=(90, "DEATH", "tumour"))["sim_av_patient"][
        "DEATHCAUSECODE_UNDERLYING"
    ].to_list() == ["C509"]
    assert tables(end=(90, "DEATH", "circulatory"))["sim_av_patient"][
        "DEATHCAUSECODE_UNDERLYING"
    ].to_list() == ["I259"]
    assert tables(end=(90, "DEATH", "unknown"))["sim_av_patient"][
        "DEATHCAUSECODE_UNDERLYING"
    ].to_list() == [None]


def test_a_new_tumour_has_a_row_by_public_rules_and_its_own_surgery():
    found = tables(
        (10, "SURGERY", None),
        (400, "NEW_TUMOUR", "C18", {"new_stage": "3"}),
        (430, "SURGERY", None),
        (700, "NEW_TUMOUR", "C43", {"new_stage": "1"}),
    )
    rows = found["sim_av_tumour"]
    assert rows["SITE_ICD10_O2_3CHAR"].to_list() == ["C50", "C18"]  # day 700 lies after 2019
    assert rows["DATE_FIRST_SURGERY"].to_list() == [day(10), day(430)]
    assert rows["AGE"].to_list() == [61, 62]
    assert rows["STAGE_BEST"].to_list() == ["2A", "3"]
    assert rows["ER_STATUS"].to_list() == ["P", None]
    assert rows["SCREENINGSTATUSFULL_CODE"].to_list() == ["6001", None]


def test_comorbidities_sum_to_the_total():
    for total in range(9):
        row = tables(CHRL_TOT_27_03=str(total))["sim_av_tumour"].row(0, named=True)
        groups = row["COMORBIDITIES_27_03"].split(",") if row["COMORBIDITIES_27_03"] else []
        assert lists.charlson_total(groups) == row["CHRL_TOT_27_03"] == total


def test_waiting_times_run_from_the_referral_to_the_first_treatment():
    found = tables(
        (-20, "REFERRAL", "screening"),
        (-9, "FIRST_SEEN", None),
        (30, "SURGERY", None, {"decision_days": "8-14"}),
        (80, "SACT_REGIMEN", "FEC-T"),
    )
    row = found["ext_cwt_pathway"].row(0, named=True)
    assert (
        row["CRTP_DATE"],
        row["DATE_FIRST_SEEN"],
        row["TREATMENT_START_DATE"],
        row["TREATMENT_MODALITY"],
    ) == (day(-20), day(-9), day(30), "01")
    assert 8 <= (row["TREATMENT_START_DATE"] - row["DECISION_TO_TREAT_DATE"]).days <= 14
    assert found["ext_route"]["FINAL_ROUTE"].to_list() == ["Screen detected"]


def test_patients_need_numbers():
    people = static_columns(
        pathways(), pl.DataFrame([patient() | {"patient_id": "x1"}], infer_schema_length=None)
    )
    with pytest.raises(ValueError, match="must be a whole number"):
        to_tables(
            pathways(),
            PatientLog(
                people, random_log(1).pathways.with_columns(pl.col("patient_id").cast(pl.String))
            ),
            extract_date=EXTRACT,
        )
