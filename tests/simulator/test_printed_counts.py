"""The simulator's volumes, missing shares, formats and codes beside those that the real release
prints: Simulacrum 2.1.0, diagnoses 2016 to 2019 (simulator.md 3.8, S22).

Tolerances: 5% of the rows per patient, 2 points of a missing share, at 20,000 patients.
"""

import re

import numpy as np
import polars as pl
import pytest

from pipeline.schema.codes import lists
from pipeline.simulator.draw import shuffled_ids
from tests.simulator.registry import N, Tables, registry, share

PATIENTS, TUMOURS = 1_871_605, 1_995_570
ROWS = {
    "sim_av_patient": PATIENTS,
    "sim_av_tumour": TUMOURS,
    "sim_av_gene": 255_728,
    "sim_sact_regimen": 781_389,
    "sim_sact_cycle": 2_741_674,
    "sim_sact_drug_detail": 7_662_030,
    "sim_sact_outcome": 784_135,
    "sim_rtds_episode": 5_843_642,
    "sim_rtds_prescription": 5_843_642,
    "sim_rtds_exposure": 13_201_531,
    "sim_rtds_combined": 13_201_531,
}
MISSING = {
    "sim_av_patient.ETHNICITY": 97_735,
    "sim_av_patient.DEATHCAUSECODE_1A": 1_346_676,
    "sim_av_tumour.STAGE_BEST": 606_659,
    "sim_av_tumour.PERFORMANCESTATUS": 1_203_232,
    "sim_av_tumour.CANCERCAREPLANINTENT": 1_223_497,
    "sim_av_tumour.T_BEST": 1_035_148,
    "sim_av_tumour.ER_STATUS": 1_819_257,
    "sim_av_tumour.DATE_FIRST_SURGERY": 725_085,
    "sim_av_tumour.CHRL_TOT_27_03": 4_331,
}
NEVER_MISSING = ("GRADE", "QUINTILE_2019", "CREG_CODE", "LATERALITY", "SITE_ICD10_O2_3CHAR")
# share of all tumours, in %: 187,204 with C50; the rest of the one-way counts of SIM2 (S23)
SITES = {
    "C50": 9.4,
    "C44": 25.6,
    "D06": 5.0,
    "D09": 1.8,
    "D05": 1.4,
    "D03": 1.2,
    "D01": 0.7,
    "D46": 0.5,
    "D47": 0.5,
    "D07": 0.5,
    "D32": 0.5,
    "D41": 0.35,
}
LARGEST_INTEGER = 2**31 - 1  # what INTEGER of public PostgreSQL loaders holds


@pytest.fixture(scope="module")
def tables() -> Tables:
    return registry()


@pytest.mark.parametrize("name", ROWS)
def test_rows_per_patient(tables: Tables, name: str) -> None:
    printed = ROWS[name] / PATIENTS
    assert tables[name].height / N == pytest.approx(printed, rel=0.05)


@pytest.mark.parametrize("column", MISSING)
def test_missing_shares(tables: Tables, column: str) -> None:
    table, name = column.split(".")
    printed = 100 * MISSING[column] / ROWS[table]
    assert share(tables[table][name].is_null()) == pytest.approx(printed, abs=2)


def test_what_is_never_missing(tables: Tables) -> None:
    for name in NEVER_MISSING:
        assert tables["sim_av_tumour"][name].null_count() == 0, name
    assert share(tables["sim_av_tumour"]["GRADE"] == "GX") > 30, "GX where it is not assessed"


@pytest.mark.parametrize("site", SITES)
def test_shares_of_sites(tables: Tables, site: str) -> None:
    found = tables["sim_av_tumour"]["SITE_ICD10_O2_3CHAR"] == site
    printed, n = SITES[site], tables["sim_av_tumour"].height
    error = 100 * np.sqrt(printed / 100 * (1 - printed / 100) / n)
    assert share(found) == pytest.approx(printed, abs=0.2 + 4 * error)


def test_who_has_the_tumours_in_situ_and_of_the_skin(tables: Tables) -> None:
    tumours = tables["sim_av_tumour"]
    site = tumours["SITE_ICD10_O2_3CHAR"]
    cervix, skin = tumours.filter(site == "D06"), tumours.filter(site == "C44")
    assert set(cervix["GENDER"]) == {"2"} == set(tumours.filter(site == "D07")["GENDER"])
    assert 28 <= cervix["AGE"].median() <= 38  # type: ignore[operator]
    assert 68 <= skin["AGE"].median() <= 78  # type: ignore[operator]
    basal = skin.filter(pl.col("MORPH_ICD10_O2").is_in(["8090", "8097", "8091", "8092"]))
    assert 55 <= 100 * basal.height / skin.height <= 78
    assert share(skin["DATE_FIRST_SURGERY"].is_not_null()) > 90
    assert share(skin["STAGE_BEST"].is_null()) > 88
    in_situ = tumours.filter(pl.col("BEHAVIOUR_ICD10_O2") == "2")
    assert set(in_situ["STAGE_BEST"]) <= {"0", "0A", "0IS"}
    assert set(in_situ["SITE_ICD10_O2_3CHAR"]) == {"D01", "D03", "D05", "D06", "D07", "D09"}
    regimens = tables["sim_sact_regimen"]
    one_tumour = tumours.filter(pl.len().over("PATIENTID") == 1)
    bladder = one_tumour.filter(pl.col("SITE_ICD10_O2_3CHAR") == "D09")
    given = regimens.join(bladder, left_on="ENCORE_PATIENT_ID", right_on="PATIENTID", how="semi")
    assert set(given["MAPPED_REGIMEN"]) == {"BCG INTRAVESICAL", "MITOMYCIN INTRAVESICAL"}


def test_integer_keys_fit_public_loaders(tables: Tables) -> None:
    for name, table in tables.items():
        for column, kind in table.schema.items():
            if kind.is_integer():
                low, high = table[column].min(), table[column].max()
                assert low >= 0 and high <= LARGEST_INTEGER, f"{name}.{column}"  # type: ignore[operator]
    patients, tumours = tables["sim_av_patient"], tables["sim_av_tumour"]
    assert sorted(patients["PATIENTID"]) == list(range(10_000_001, 10_000_001 + N))
    assert patients["LINKNUMBER"].is_between(100_000_000, 999_999_999).all()
    assert patients["LINKNUMBER"].is_unique().all()
    assert tumours["TUMOURID"].is_between(10_000_000, 99_999_999).all()
    assert tumours["TUMOURID"].is_unique().all()


def test_keys_of_as_many_patients_as_the_release_has_fit_too(tables: Tables) -> None:
    """Drug rows have the largest numbers: 64 for each cycle."""
    drugs = tables["sim_sact_drug_detail"]["MERGED_DRUG_DETAIL_ID"]
    assert drugs.is_unique().all()
    per_patient = (drugs.max() - 100_000_000) / N  # type: ignore[operator]
    assert 100_000_000 + per_patient * PATIENTS < LARGEST_INTEGER


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 97, 1000, 4096])
def test_shuffled_ids_are_dense_and_distinct(n: int) -> None:
    ids = shuffled_ids(n, 500)
    assert sorted(ids) == list(range(500, 500 + n))
    assert n < 10 or sorted(ids) != list(ids)


def test_attendances_are_named_by_patient_and_day(tables: Tables) -> None:
    episodes = tables["sim_rtds_episode"]
    expected = pl.format("{}.{}", "PATIENTID", pl.col("APPTDATE").dt.to_string("%Y%m%d"))
    assert (episodes["ATTENDID"] == episodes.select(expected).to_series()).all()
    assert episodes["ATTENDID"].is_unique().all()
    several = episodes.group_by("PATIENTID").agg(pl.col("RADIOTHERAPYEPISODEID").n_unique())
    assert (several["RADIOTHERAPYEPISODEID"] > 1).any(), "patients with two episodes are there"


def test_exposures_of_an_attendance_are_minutes_apart(tables: Tables) -> None:
    exposures, combined = tables["sim_rtds_exposure"], tables["sim_rtds_combined"]
    assert exposures.equals(combined.select(exposures.columns))
    assert exposures["TIMEOFEXPOSURE"].str.contains(r"^([01]\d|2[0-3]):[0-5]\d$").all()
    assert exposures.select("ATTENDID", "TIMEOFEXPOSURE").is_unique().all()
    per_attendance = exposures.group_by("ATTENDID").len()["len"]
    assert per_attendance.mean() == pytest.approx(2.26, rel=0.05)
    assert per_attendance.n_unique() >= 4
    minute = exposures.with_columns(
        minute=pl.col("TIMEOFEXPOSURE").str.slice(0, 2).cast(pl.Int64) * 60
        + pl.col("TIMEOFEXPOSURE").str.slice(3, 2).cast(pl.Int64)
    )
    spread = minute.group_by("ATTENDID").agg(pl.col("minute").max() - pl.col("minute").min())
    assert spread["minute"].max() <= 30  # type: ignore[operator]
    by_attendance = exposures.group_by("ATTENDID").agg(pl.col("PRESCRIPTIONID").n_unique())
    assert set(by_attendance["PRESCRIPTIONID"]) == {1}


def test_providers_and_anatomical_sites(tables: Tables) -> None:
    episodes, prescriptions = tables["sim_rtds_episode"], tables["sim_rtds_prescription"]
    assert episodes["LINKCODE"].str.contains("^[A-Z]{3}$").all()
    assert 40 <= episodes["LINKCODE"].n_unique() <= 60
    assert episodes.group_by("PATIENTID").agg(pl.col("LINKCODE").n_unique())["LINKCODE"].max() == 1
    site = prescriptions["RTTREATMENTANATOMICALSITE"]
    assert site.drop_nulls().str.contains(r"^Z\d{3}$").all()
    assert share(site.is_not_null()) > 80


def test_comorbidities_have_two_digits(tables: Tables) -> None:
    groups = tables["sim_av_tumour"]["COMORBIDITIES_27_03"].drop_nulls()
    assert groups.str.contains(r"^\d\d(,\d\d)*$").all()


# (table, column): a code that no reader of numbers can read
TEXT_CODES = {
    ("sim_av_tumour", "M_BEST"): {"1a", "1b"},
    ("sim_av_tumour", "T_BEST"): {"1c", "2a", "is", "a"},
    ("sim_av_tumour", "SCREENINGSTATUSFULL_CODE"): {"Y", "N"},
    ("sim_sact_outcome", "REGIMEN_OUTCOME_SUMMARY"): {"A", "N"},
    ("sim_sact_cycle", "PERF_STATUS_START_OF_CYCLE"): {"*"},
}


@pytest.mark.parametrize(("table", "column"), TEXT_CODES)
def test_codes_that_make_a_column_text_occur_in_5000_patients(
    tables: Tables, table: str, column: str
) -> None:
    rows = tables[table]
    values = rows[: rows.height * 5000 // N][column].drop_nulls()
    assert TEXT_CODES[table, column] <= set(values)
    plain = values.filter(values.str.contains(r"^-?\d+$"))
    assert plain.len() > 0, "and numbers beside them"
    assert all(re.fullmatch(r"[-*\w]+", value) for value in set(values))


def test_screening_codes_are_listed(tables: Tables) -> None:
    codes = set(tables["sim_av_tumour"]["SCREENINGSTATUSFULL_CODE"].drop_nulls())
    assert codes <= set(lists.lookup("screening_status"))
