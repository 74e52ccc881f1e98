"""An invented extract in the form that the models read, oddities and all: what ingest would drop
must not break a bound either.
"""

from __future__ import annotations

import polars as pl

from audit.people import PEOPLE, VISITS, Extract
from pipeline.schema.patient_log import ID, PatientLog

_STATIC = {
    "sex": pl.String,
    "site": pl.String,
    "stage": pl.String,
    "cost": pl.Float64,
    "relapse": pl.String,
}


def behind(newcomer: PatientLog, others: PatientLog) -> PatientLog:
    """The newcomer's rows first, then the others': a mechanism that goes by position is noticed."""
    return PatientLog(
        pl.concat([newcomer.patients, others.patients]),
        pl.concat([newcomer.pathways, others.pathways]),
    )


def model_rows(extract: Extract) -> PatientLog:
    """No cleaning, no caps: a second row of a patient, an unknown category, a number that is none
    all stay.
    """
    people = pl.DataFrame(
        _wide(extract.people, len(PEOPLE)), schema=dict.fromkeys(PEOPLE, pl.String), orient="row"
    )
    visits = pl.DataFrame(
        _wide(extract.visits, len(VISITS)), schema=dict.fromkeys(VISITS, pl.String), orient="row"
    )
    cells = [
        pl.col(name).replace("", None).cast(kind, strict=False) for name, kind in _STATIC.items()
    ]
    patients = people.select(pl.col("id").cast(pl.Int64).alias(ID), *cells, _day("joined"))
    ends = people.select(
        "id", date="left", kind=pl.lit("LEFT"), code="reason", intent=pl.lit(""), dose=pl.lit("")
    )
    dated = pl.concat([visits, ends]).with_columns(
        pl.col("id").cast(pl.Int64).alias(ID), _day("date")
    )
    origin = patients.unique(ID, keep="first", maintain_order=True).select(ID, "joined")
    log = dated.join(origin, on=ID, how="left", maintain_order="left").select(
        ID,
        (pl.col("date") - pl.col("joined")).dt.total_days().cast(pl.Int32).alias("day"),
        pl.col("kind").alias("type"),
        *(pl.col(name).replace("", None) for name in ("code", "intent")),
        pl.col("dose").cast(pl.Float64, strict=False),
    )
    dated_log = log.filter(pl.col("day").is_not_null()).sort(ID, "day", maintain_order=True)
    return PatientLog(
        patients,
        dated_log.select(
            ID, pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq"), pl.exclude(ID)
        ),
    )


def _day(name: str) -> pl.Expr:
    return pl.col(name).str.to_date("%Y-%m-%d", strict=False)


def _wide(rows: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """A row that is too short is filled up: ingest would have dropped it."""
    return [(*row, *[""] * (width - len(row))) for row in rows]
