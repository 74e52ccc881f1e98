"""Where each source row of the registry stands in the log, and what the log says about it
(carried.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.carried import Says, beside, restore
from pipeline.adapters.simulacrum.names import (
    COMBINED,
    CYCLE,
    DRUG,
    EPISODE,
    EXPOSURE,
    GENE,
    MISSING_OUTCOME,
    ORIGIN,
    OUTCOME,
    PATIENT,
    PRESCRIPTION,
    REGIMEN,
    ROUTE,
    SITE,
    TUMOUR,
    WAITING,
)
from pipeline.adapters.simulacrum.read_patients import FROM_TUMOUR
from pipeline.schema.patient_log import ID, PatientLog

Tables = Mapping[str, pl.DataFrame]
# the row's event; a second one for surgery of a tumour and the first appointment of a referral
LINKS = ["seq", "seq2"]
EPISODE_ID = "RADIOTHERAPYEPISODEID"


def carry(tables: Tables, patients: pl.DataFrame, pathway: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What every table holds beside the log. `pathway` is the log with the source of each event."""
    log = PatientLog(patients, pathway.drop("_source", "_row"))
    carried = {}
    for name, rows in tables.items():
        links = _links(name, tables, pathway)
        carried[name] = beside(rows, _context(links, log), _says()[name], LINKS)
    return carried


def uncarry(carried: Tables, log: PatientLog) -> dict[str, pl.DataFrame]:
    """The source tables again, from the log and what was carried beside it."""
    return {
        name: restore(rows, _context(rows.select(ID, *LINKS), log), _says()[name], LINKS)
        for name, rows in carried.items()
    }


def _context(links: pl.DataFrame, log: PatientLog) -> pl.DataFrame:
    second = log.pathways.select(ID, pl.col("seq").alias("seq2"), pl.col("day").alias("day2"))
    return (
        links.join(log.patients, on=ID, how="left", maintain_order="left")
        .join(log.pathways, on=[ID, "seq"], how="left", maintain_order="left")
        .join(second, on=[ID, "seq2"], how="left", maintain_order="left")
    )


def _links(name: str, tables: Tables, pathway: pl.DataFrame) -> pl.DataFrame:
    """patient_id, seq and seq2 of every row of a table, in its order."""
    rows = tables[name].with_row_index("_row").with_columns(pl.col("_row").cast(pl.UInt32))
    if name in (EPISODE, PRESCRIPTION, EXPOSURE, COMBINED):
        episodes = _own(tables[EPISODE].with_row_index("_row"), EPISODE, pathway).filter(
            pl.col("seq").is_not_null()
        )
        starts = episodes.select("PATIENTID", EPISODE_ID, "seq")
        return _as_links(
            rows.join(starts, on=["PATIENTID", EPISODE_ID], how="left", maintain_order="left"),
            "PATIENTID",
        )
    if name in (CYCLE, DRUG, OUTCOME):
        owners = (
            tables[REGIMEN]
            .select("MERGED_REGIMEN_ID", "ENCORE_PATIENT_ID")
            .unique("MERGED_REGIMEN_ID", keep="first", maintain_order=True)
        )
        if name == DRUG:
            cycles = _own(tables[CYCLE].with_row_index("_row"), CYCLE, pathway).unique(
                "MERGED_CYCLE_ID", keep="first", maintain_order=True
            )
            rows = rows.join(
                cycles.select("MERGED_CYCLE_ID", "MERGED_REGIMEN_ID", "seq"),
                on="MERGED_CYCLE_ID",
                how="left",
                maintain_order="left",
            )
        else:
            rows = _own(rows, name, pathway)
        return _as_links(
            rows.join(owners, on="MERGED_REGIMEN_ID", how="left", maintain_order="left"),
            "ENCORE_PATIENT_ID",
        )
    if name == ROUTE:
        tumours = _own(tables[TUMOUR].with_row_index("_row"), TUMOUR, pathway).unique(
            "TUMOURID", keep="first", maintain_order=True
        )
        return _as_links(
            rows.join(
                tumours.select("TUMOURID", "PATIENTID", "seq"),
                on="TUMOURID",
                how="left",
                maintain_order="left",
            ),
            "PATIENTID",
        )
    rows = _own(rows, name, pathway)
    if name in (TUMOUR, WAITING):
        rows = _own(rows, "surgery" if name == TUMOUR else "first_seen", pathway, "seq2")
    return _as_links(rows, "ENCORE_PATIENT_ID" if name == REGIMEN else "PATIENTID")


def _own(rows: pl.DataFrame, source: str, pathway: pl.DataFrame, link: str = "seq") -> pl.DataFrame:
    places = pathway.filter((pl.col("_source") == source) & pl.col("_row").is_not_null()).select(
        "_row", pl.col("seq").alias(link)
    )
    return rows.with_columns(pl.col("_row").cast(pl.UInt32)).join(
        places, on="_row", how="left", maintain_order="left"
    )


def _as_links(rows: pl.DataFrame, patient: str) -> pl.DataFrame:
    second = pl.col("seq2") if "seq2" in rows.columns else pl.lit(None, pl.Int32).alias("seq2")
    return rows.select(pl.col(patient).alias(ID), "seq", second)


def _says() -> dict[str, Says]:
    """For each table, the columns that patients and events say."""
    when, first, death = _date("day"), pl.col("type") == "DIAGNOSIS", pl.col("type") == "DEATH"
    dose = pl.col("code").str.split("/").list
    tumour: dict[str, pl.Expr] = {name: pl.when(first).then(pl.col(name)) for name in FROM_TUMOUR}
    tumour |= {
        "GENDER": pl.col("GENDER"),
        ORIGIN: when,
        SITE: pl.when(first).then(pl.col(SITE)).otherwise(pl.col("code")),
        "DATE_FIRST_SURGERY": _date("day2"),
    }
    attendance: dict[str, pl.Expr] = {
        "APPTDATE": when,
        "RADIOTHERAPYINTENT": pl.col("rt_intent"),
        "RADIOTHERAPYPRIORITY": pl.col("rt_priority"),
    }
    prescribed: dict[str, pl.Expr] = {
        "APPTDATE": when,
        "RTTREATMENTREGION": pl.col("rt_region"),
        "RTPRESCRIBEDDOSE": dose.first().cast(pl.Float64, strict=False),
        "RTPRESCRIBEDFRACTIONS": dose.last().cast(pl.Int64, strict=False),
    }
    return {
        PATIENT: {
            "GENDER": pl.col("GENDER"),
            "ETHNICITY": pl.col("ETHNICITY"),
            "DEATHLOCATIONCODE": pl.col("death_location"),
            "VITALSTATUSDATE": when,
            "VITALSTATUS": pl.when(death).then(pl.lit("D")).otherwise(pl.col("code")),
        },
        TUMOUR: tumour,
        GENE: {
            "GENE_DESC": pl.col("code"),
            "OVERALL_TS": pl.col("gene_status"),
            "DATE_OVERALL_TS": when,
            "MIN_DATE": when,
            "MAX_DATE": when,
        },
        REGIMEN: {
            "MAPPED_REGIMEN": pl.col("code"),
            "INTENT_OF_TREATMENT": pl.col("intent"),
            "CLINICAL_TRIAL": pl.col("clinical_trial"),
            "START_DATE_OF_REGIMEN": when,
            "HEIGHT_AT_START_OF_REGIMEN": pl.col("HEIGHT"),
            "WEIGHT_AT_START_OF_REGIMEN": pl.col("WEIGHT"),
        },
        CYCLE: {
            "START_DATE_OF_CYCLE": when,
            "PERF_STATUS_START_OF_CYCLE": pl.col("cycle_performance"),
        },
        DRUG: {"ADMINISTRATION_DATE": when},
        OUTCOME: (
            {
                "DATE_OF_FINAL_TREATMENT": when,
                "REGIMEN_OUTCOME_SUMMARY": (
                    pl.when(pl.col("code") != MISSING_OUTCOME).then(pl.col("code"))
                ),
            }
            | {
                name: pl.col("modified").str.slice(at, 1)
                for at, name in enumerate(
                    (
                        "REGIMEN_MOD_DOSE_REDUCTION",
                        "REGIMEN_MOD_TIME_DELAY",
                        "REGIMEN_MOD_STOPPED_EARLY",
                    )
                )
            }
        ),
        EPISODE: attendance,
        PRESCRIPTION: prescribed,
        EXPOSURE: {"APPTDATE": when},
        COMBINED: attendance | prescribed,
        ROUTE: {"FINAL_ROUTE": pl.when(first).then(pl.col("FINAL_ROUTE"))},
        WAITING: {
            "REFERRAL_TYPE": pl.col("code"),
            "CRTP_DATE": when,
            "DATE_FIRST_SEEN": _date("day2"),
        },
    }


def _date(day: str) -> pl.Expr:
    """The date of a day of the pathway."""
    return (pl.col(ORIGIN).cast(pl.Int32) + pl.col(day)).cast(pl.Date)
