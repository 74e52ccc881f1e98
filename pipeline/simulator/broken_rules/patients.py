"""Breaches of the rules on patients: death, the last day seen, no tumour."""

from datetime import date, timedelta

import polars as pl

from pipeline.simulator.broken_rules.edits import (
    OWNER,
    PATIENT,
    TUMOUR,
    Breach,
    Tables,
    put,
    without,
)


def wrong_patients() -> tuple[Breach, ...]:
    """Vital status against causes, dates and tumours."""
    status = pl.col("VITALSTATUS")
    return (
        Breach(
            rule="13",
            what="surgery after death",
            table=PATIENT,
            where=status == "D",
            edit=_surgery_after_death,
        ),
        Breach(
            rule="12",
            what="last seen before the diagnosis",
            table=PATIENT,
            where=status == "D",
            edit=put(PATIENT, VITALSTATUSDATE="2015-12-01"),
        ),
        Breach(
            rule="16",
            what="cause of death is no ICD-10 code",
            table=PATIENT,
            where=status == "D",
            edit=put(PATIENT, DEATHCAUSECODE_UNDERLYING="cancer"),
        ),
        Breach(
            rule="15",
            what="alive with a cause of death",
            table=PATIENT,
            where=status == "A",
            edit=put(PATIENT, DEATHCAUSECODE_UNDERLYING="C809"),
        ),
        Breach(
            rule="14",
            what="alive, last seen before the surgery",
            table=PATIENT,
            where=status == "A",
            edit=_alive_before_surgery,
        ),
        Breach(
            rule="03",
            what="no tumour",
            table=PATIENT,
            where=status == "A",
            edit=without(TUMOUR, "ext_route", "ext_cwt_pathway"),
        ),
    )


def _surgery_after_death(tables: Tables, patient: int, extract_date: date) -> Tables:
    died = tables[PATIENT].filter(pl.col(OWNER) == patient)["VITALSTATUSDATE"][0]
    return put(
        TUMOUR, DATE_FIRST_SURGERY=(date.fromisoformat(died) + timedelta(days=20)).isoformat()
    )(tables, patient, extract_date)


def _alive_before_surgery(tables: Tables, patient: int, extract_date: date) -> Tables:
    late = (extract_date - timedelta(days=60)).isoformat()
    return put(PATIENT, VITALSTATUSDATE=late)(
        put(TUMOUR, DATE_FIRST_SURGERY=(extract_date - timedelta(days=10)).isoformat())(
            tables, patient, extract_date
        ),
        patient,
        extract_date,
    )
