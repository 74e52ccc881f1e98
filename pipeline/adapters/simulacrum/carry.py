"""Where each source row of the registry stands in the log, and which of its values the log holds
(carried.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.carried import LogValues, beside, restore
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
MODIFICATIONS = (  # in the order of the letters in the event's `modified`
    "REGIMEN_MOD_DOSE_REDUCTION",
    "REGIMEN_MOD_TIME_DELAY",
    "REGIMEN_MOD_STOPPED_EARLY",
)


def carry(tables: Tables, patients: pl.DataFrame, pathway: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What every table holds beside the log. `pathway` is the log with the source of each event."""
    log = PatientLog(patients, pathway.drop("_source", "_row"))
    carried = {}
    for name, rows in tables.items():
        links = _links(name, tables, pathway)
        carried[name] = beside(rows, _context(links, log), _log_values()[name], LINKS)
    return carried


def uncarry(carried: Tables, log: PatientLog) -> dict[str, pl.DataFrame]:
    """The source tables again, from the log and what was carried beside it."""
    return {
        name: restore(rows, _context(rows.select(ID, *LINKS), log), _log_values()[name], LINKS)
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
    rows = _with_row_numbers(tables[name])
    if name in (EPISODE, PRESCRIPTION, EXPOSURE, COMBINED):
        return _links_by_episode(rows, tables, pathway)
    if name in (CYCLE, DRUG, OUTCOME):
        with_events = (
            _join_cycles(rows, tables, pathway) if name == DRUG else _own(rows, name, pathway)
        )
        return _links_by_regimen(with_events, tables)
    if name == ROUTE:
        return _links_by_tumour(rows, tables, pathway)
    rows = _own(rows, name, pathway)
    if name in (TUMOUR, WAITING):
        rows = _own(rows, "surgery" if name == TUMOUR else "first_seen", pathway, "seq2")
    return _as_links(rows, "ENCORE_PATIENT_ID" if name == REGIMEN else "PATIENTID")


def _links_by_episode(rows: pl.DataFrame, tables: Tables, pathway: pl.DataFrame) -> pl.DataFrame:
    """Rows of radiotherapy stand at the event of their episode."""
    episodes = _own(_with_row_numbers(tables[EPISODE]), EPISODE, pathway).filter(
        pl.col("seq").is_not_null()
    )
    starts = episodes.select("PATIENTID", EPISODE_ID, "seq")
    return _as_links(
        rows.join(starts, on=["PATIENTID", EPISODE_ID], how="left", maintain_order="left"),
        "PATIENTID",
    )


def _links_by_regimen(rows: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Rows of drugs belong to the patient of their regimen."""
    owners = (
        tables[REGIMEN]
        .select("MERGED_REGIMEN_ID", "ENCORE_PATIENT_ID")
        .unique("MERGED_REGIMEN_ID", keep="first", maintain_order=True)
    )
    return _as_links(
        rows.join(owners, on="MERGED_REGIMEN_ID", how="left", maintain_order="left"),
        "ENCORE_PATIENT_ID",
    )


def _join_cycles(drugs: pl.DataFrame, tables: Tables, pathway: pl.DataFrame) -> pl.DataFrame:
    """Drugs with the regimen and the event of their cycle."""
    cycles = _own(_with_row_numbers(tables[CYCLE]), CYCLE, pathway).unique(
        "MERGED_CYCLE_ID", keep="first", maintain_order=True
    )
    return drugs.join(
        cycles.select("MERGED_CYCLE_ID", "MERGED_REGIMEN_ID", "seq"),
        on="MERGED_CYCLE_ID",
        how="left",
        maintain_order="left",
    )


def _links_by_tumour(rows: pl.DataFrame, tables: Tables, pathway: pl.DataFrame) -> pl.DataFrame:
    """Routes stand at the event of their tumour."""
    tumours = _own(_with_row_numbers(tables[TUMOUR]), TUMOUR, pathway).unique(
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


def _with_row_numbers(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_row_index("_row").with_columns(pl.col("_row").cast(pl.UInt32))


def _own(rows: pl.DataFrame, source: str, pathway: pl.DataFrame, link: str = "seq") -> pl.DataFrame:
    """`rows` with the event that was made of each."""
    places = pathway.filter((pl.col("_source") == source) & pl.col("_row").is_not_null()).select(
        "_row", pl.col("seq").alias(link)
    )
    return rows.join(places, on="_row", how="left", maintain_order="left")


def _as_links(rows: pl.DataFrame, patient: str) -> pl.DataFrame:
    second = pl.col("seq2") if "seq2" in rows.columns else pl.lit(None, pl.Int32).alias("seq2")
    return rows.select(pl.col(patient).alias(ID), "seq", second)


def _log_values() -> dict[str, LogValues]:
    """For each table, the columns whose values stand in patients and events."""
    return _tumour_values() | _drug_values() | _radiotherapy_values()


def _tumour_values() -> dict[str, LogValues]:
    """Patients, tumours, gene tests, routes and waiting times."""
    when, first, death = _date("day"), pl.col("type") == "DIAGNOSIS", pl.col("type") == "DEATH"
    tumour: dict[str, pl.Expr] = {name: pl.when(first).then(pl.col(name)) for name in FROM_TUMOUR}
    tumour |= {
        "GENDER": pl.col("GENDER"),
        ORIGIN: when,
        SITE: pl.when(first).then(pl.col(SITE)).otherwise(pl.col("code")),
        "DATE_FIRST_SURGERY": _date("day2"),
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
        ROUTE: {"FINAL_ROUTE": pl.when(first).then(pl.col("FINAL_ROUTE"))},
        WAITING: {
            "REFERRAL_TYPE": pl.col("code"),
            "CRTP_DATE": when,
            "DATE_FIRST_SEEN": _date("day2"),
        },
    }


def _drug_values() -> dict[str, LogValues]:
    when, code = _date("day"), pl.col("code")
    modifications = {
        name: pl.col("modified").str.slice(at, 1) for at, name in enumerate(MODIFICATIONS)
    }
    return {
        REGIMEN: {
            "MAPPED_REGIMEN": code,
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
        OUTCOME: {
            "DATE_OF_FINAL_TREATMENT": when,
            "REGIMEN_OUTCOME_SUMMARY": pl.when(code != MISSING_OUTCOME).then(code),
            **modifications,
        },
    }


def _radiotherapy_values() -> dict[str, LogValues]:
    when, dose = _date("day"), pl.col("code").str.split("/").list
    episode: dict[str, pl.Expr] = {
        "APPTDATE": when,
        "RADIOTHERAPYINTENT": pl.col("rt_intent"),
        "RADIOTHERAPYPRIORITY": pl.col("rt_priority"),
    }
    prescription: dict[str, pl.Expr] = {
        "APPTDATE": when,
        "RTTREATMENTREGION": pl.col("rt_region"),
        "RTPRESCRIBEDDOSE": dose.first().cast(pl.Float64, strict=False),
        "RTPRESCRIBEDFRACTIONS": dose.last().cast(pl.Int64, strict=False),
    }
    return {
        EPISODE: episode,
        PRESCRIPTION: prescription,
        EXPOSURE: {"APPTDATE": when},
        COMBINED: episode | prescription,
    }


def _date(day: str) -> pl.Expr:
    """The date of a day of the pathway."""
    return (pl.col(ORIGIN).cast(pl.Int32) + pl.col(day)).cast(pl.Date)
