"""Three invented patients in the registry's tables who break no rule, and ways to break each
rule.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from pathlib import Path

import polars as pl

from pipeline.checks.rules import RuleContext
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, Schema, Table

EXTRACT = date(2022, 12, 31)
CONTEXT = RuleContext(extract_date=EXTRACT, is_synthetic=False)
Tables = dict[str, pl.DataFrame]
# breast and uterus, dead; colon with drugs and a gene test; prostate with radiotherapy
ANN, BEA, CARL = 101, 102, 103


@cache
def schema() -> Schema:
    return read_schema(Path(__file__).resolve().parents[1] / "datasets" / "cancer_pathways.yaml")


def physical(column: Column) -> pl.DataType:
    kinds = {
        "date": pl.Date(),
        "id": pl.Int64(),
        "continuous": pl.Float64() if column.decimals else pl.Int64(),
    }
    return kinds.get(column.kind, pl.String())


def table(declared: Table, *rows: dict) -> pl.DataFrame:
    unknown = {name for row in rows for name in row} - set(declared.columns)
    assert not unknown, unknown
    filled = [{name: row.get(name) for name in declared.columns} for row in rows]
    return pl.DataFrame(
        filled, schema={name: physical(column) for name, column in declared.columns.items()}
    )


def clean() -> Tables:
    """Tables under the declaration's names; every frame is fresh."""
    rows = {**_registration(), **_drugs(), **_radiotherapy()}
    return {name: table(declared, *rows[name]) for name, declared in schema().tables.items()}


def _patient(number: int, sex: str, dead: date | None = None) -> dict:
    death = (
        {"DEATHCAUSECODE_1A": "C509", "DEATHCAUSECODE_UNDERLYING": "C509", "DEATHLOCATIONCODE": "1"}
        if dead
        else {}
    )
    return {
        "PATIENTID": number,
        "GENDER": sex,
        "ETHNICITY": "A",
        "VITALSTATUS": "D" if dead else "A",
        "VITALSTATUSDATE": dead or EXTRACT,
        "LINKNUMBER": 900 + number,
        **death,
    }


def _tumour(
    number: int,
    patient: int,
    sex: str,
    day: date,
    site4: str,
    morphology: str,
    icdo3: str,
    age: int,
    stage: str,
    **more: object,
) -> dict:
    site = site4[:3]
    return {
        "TUMOURID": number,
        "PATIENTID": patient,
        "GENDER": sex,
        "DIAGNOSISDATEBEST": day,
        "SITE_ICD10_O2_3CHAR": site,
        "SITE_ICD10_O2": site4,
        "SITE_ICD10R4_O2_3CHAR_FROM2013": site,
        "SITE_ICD10R4_O2_FROM2013": site4,
        "SITE_ICDO3REV2011": icdo3,
        "SITE_ICDO3REV2011_3CHAR": icdo3[:3],
        "MORPH_ICD10_O2": morphology,
        "MORPH_ICDO3REV2011": morphology,
        "BEHAVIOUR_ICD10_O2": "3",
        "BEHAVIOUR_ICDO3REV2011": "3",
        "M_BEST": "0",
        "STAGE_BEST": stage,
        "STAGE_BEST_SYSTEM": "UICC 7",
        "GRADE": "G2",
        "AGE": age,
        "CREG_CODE": "L0201",
        "QUINTILE_2019": "1 - most deprived",
        "CHRL_TOT_27_03": 2,
        "COMORBIDITIES_27_03": "09,10",
        "LATERALITY": "9",
        "PERFORMANCESTATUS": "1",
        **more,
    }


def _registration() -> dict[str, list[dict]]:
    return {
        "sim_av_patient": [
            _patient(ANN, "2", date(2020, 6, 1)),
            _patient(BEA, "2"),
            _patient(CARL, "1"),
        ],
        "sim_av_tumour": [
            _tumour(
                1,
                ANN,
                "2",
                date(2017, 3, 1),
                "C509",
                "8500",
                "C509",
                66,
                "2A",
                ER_STATUS="P",
                LATERALITY="L",
                SCREENINGSTATUSFULL_CODE="6001",
                DATE_FIRST_SURGERY=date(2017, 4, 3),
            ),
            _tumour(
                2,
                ANN,
                "2",
                date(2019, 4, 1),
                "C541",
                "8380",
                "C541",
                68,
                "1A",
                STAGE_BEST_SYSTEM="FIGO",
            ),
            _tumour(3, BEA, "2", date(2018, 1, 10), "C189", "8140", "C189", 70, "4A", M_BEST="1"),
            _tumour(
                4,
                CARL,
                "1",
                date(2018, 5, 7),
                "C61",
                "8140",
                "C619",
                71,
                "3",
                GLEASON_PRIMARY="3",
                GLEASON_SECONDARY="4",
                GLEASON_COMBINED=7,
            ),
        ],
        "sim_av_gene": [
            {
                "GENEID": "G1",
                "TUMOURID": 3,
                "PATIENTID": BEA,
                "GENE_DESC": "KRAS",
                "GENE": 47,
                "COUNT_TESTS": 1,
                "COUNT_RESULTS": 1,
                "COUNT_DATE": 1,
                "OVERALL_TS": "a:abnormal",
                "NO_OF_AB_GATS": 1,
                "DNASEQ_GAT": "a:abnormal_dna_sq",
                "NO_OF_SEQ_VARS": 1,
                "SEQ_VAR": "p.G12C",
                "MIN_DATE": date(2018, 1, 20),
                "DATE_OVERALL_TS": date(2018, 1, 20),
                "MAX_DATE": date(2018, 1, 22),
            }
        ],
        "ext_route": [{"TUMOURID": 3, "FINAL_ROUTE": "TWW"}],
        "ext_cwt_pathway": [
            {
                "PATIENTID": BEA,
                "TUMOURID": 3,
                "CRTP_DATE": date(2017, 12, 20),
                "REFERRAL_TYPE": "TWW",
            }
        ],
    }


def _drugs() -> dict[str, list[dict]]:
    starts = [date(2018, 2, 12), date(2018, 3, 5)]
    given = [(1, 11, starts[0]), (2, 12, starts[1])]
    drugs = [
        {
            "MERGED_DRUG_DETAIL_ID": 100 * cycle + n,
            "MERGED_CYCLE_ID": cycle,
            "ACTUAL_DOSE_PER_ADMINISTRATION": dose,
            "DRUG_GROUP": drug,
            "ADMINISTRATION_ROUTE": route,
            "ADMINISTRATION_DATE": day,
        }
        for _, cycle, day in given
        for n, (drug, dose, route) in enumerate(
            [("OXALIPLATIN", 220.0, "1"), ("CAPECITABINE", 1800.0, "2")]
        )
    ]
    return {
        "sim_sact_regimen": [
            {
                "ENCORE_PATIENT_ID": BEA,
                "MERGED_REGIMEN_ID": 7,
                "HEIGHT_AT_START_OF_REGIMEN": 1.63,
                "WEIGHT_AT_START_OF_REGIMEN": 70.0,
                "INTENT_OF_TREATMENT": "A",
                "DATE_DECISION_TO_TREAT": date(2018, 2, 1),
                "START_DATE_OF_REGIMEN": starts[0],
                "MAPPED_REGIMEN": "CAPOX",
                "CLINICAL_TRIAL": "N",
                "CHEMO_RADIATION": "N",
                "BENCHMARK_GROUP": "CAPECITABINE + OXALIPLATIN",
                "LINK_NUMBER": 900 + BEA,
            }
        ],
        "sim_sact_cycle": [
            {
                "MERGED_REGIMEN_ID": 7,
                "MERGED_CYCLE_ID": cycle,
                "CYCLE_NUMBER": n,
                "START_DATE_OF_CYCLE": day,
            }
            for n, cycle, day in given
        ],
        "sim_sact_drug_detail": drugs,
        "sim_sact_outcome": [
            {
                "MERGED_REGIMEN_ID": 7,
                "DATE_OF_FINAL_TREATMENT": starts[1],
                "REGIMEN_OUTCOME_SUMMARY": "1",
            }
        ],
    }


def _radiotherapy() -> dict[str, list[dict]]:
    days = [date(2018, 9, 3) + timedelta(days=n) for n in range(5)]  # a Monday to a Friday
    keys = [
        {
            "PATIENTID": CARL,
            "RADIOTHERAPYEPISODEID": 5,
            "ATTENDID": f"A{n}",
            "APPTDATE": day,
            "LINKCODE": "L5",
        }
        for n, day in enumerate(days)
    ]
    episode = {
        "DECISIONTOTREATDATE": date(2018, 8, 10),
        "EARLIESTCLINAPPROPDATE": date(2018, 8, 20),
        "RADIOTHERAPYPRIORITY": "R",
        "RADIOTHERAPYINTENT": "3",
    }
    prescription = {
        "PRESCRIPTIONID": 6,
        "RTTREATMENTMODALITY": "5",
        "RTPRESCRIBEDDOSE": 36.25,
        "RTPRESCRIBEDFRACTIONS": 5,
        "RTACTUALDOSE": 36.25,
        "RTACTUALFRACTIONS": 5,
        "RTTREATMENTREGION": "P",
    }
    exposure = {
        "PRESCRIPTIONID": 6,
        "RADIOTHERAPYBEAMTYPE": "T1",
        "RADIOTHERAPYBEAMENERGY": 6.0,
        "TIMEOFEXPOSURE": "10:30",
    }
    return {
        "sim_rtds_episode": [key | episode for key in keys],
        "sim_rtds_prescription": [key | prescription for key in keys],
        "sim_rtds_exposure": [key | exposure for key in keys],
        "sim_rtds_combined": [key | episode | prescription | exposure for key in keys],
    }


def change(tables: Tables, table_name: str, where: pl.Expr, **values: object) -> Tables:
    """A copy in which the rows that match `where` have other values."""
    rows = tables[table_name]
    assert rows.filter(where).height, "the breach matches no row"
    changed = rows.with_columns(
        pl.when(where)
        .then(pl.lit(value, dtype=rows.schema[column]) if not isinstance(value, pl.Expr) else value)
        .otherwise(pl.col(column))
        .alias(column)
        for column, value in values.items()
    )
    return {
        **tables,
        table_name: changed.select(pl.col(name).cast(kind) for name, kind in rows.schema.items()),
    }


def without(tables: Tables, table_name: str, where: pl.Expr) -> Tables:
    return {**tables, table_name: tables[table_name].filter(~where)}


def twice(tables: Tables, table_name: str, where: pl.Expr) -> Tables:
    rows = tables[table_name]
    return {**tables, table_name: pl.concat([rows, rows.filter(where)])}


def read_csvs(folder: Path) -> Tables:
    """The simulator's files, typed as declared; what does not parse is missing."""
    tables = {}
    for name, declared in schema().tables.items():
        cells = pl.read_csv(
            folder / f"{declared.file}.csv", infer_schema=False, encoding="utf8-lossy"
        )
        tables[name] = cells.select(
            _cast(column).alias(column.name) for column in declared.columns.values()
        )
    return tables


def _cast(column: Column) -> pl.Expr:
    cell, kind = pl.col(column.name), physical(column)
    if column.kind == "date":
        return cell.str.to_date("%Y-%m-%d", strict=False)
    return (
        cell if kind == pl.String else cell.cast(pl.Float64, strict=False).cast(kind, strict=False)
    )
