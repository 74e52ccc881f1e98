"""Clinical rules 9 to 11, 17 and 18: what dates look like, where they may lie, and how treatment
stands to diagnosis.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share, together
from pipeline.checks.rules.registry import (
    EPISODE,
    REGIMEN,
    TUMOUR,
    Registry,
    date_columns,
    text,
)
from pipeline.schema.patient_log import ID

SENTINEL_YEARS = (1899, 1900, 9999)
ISO_DATE = r"^\d{4}-\d{2}-\d{2}$"
# treatment may precede the date of diagnosis by so much (NDRS treatment flags)
DAYS_BEFORE_DIAGNOSIS = 31
# decisions and referrals precede what they lead to by so much (declared lower bound: 2015-05-01)
DAYS_BEFORE_EVENT = 184
BEFORE_EVENTS = (
    "DATE_DECISION_TO_TREAT",
    "DECISIONTOTREATDATE",
    "EARLIESTCLINAPPROPDATE",
    "CRTP_DATE",
    "DATE_FIRST_SEEN",
    "DECISION_TO_TREAT_DATE",
)


def date_forms(registry: Registry, context: RuleContext) -> Finding:
    """Declared dates as they came: no text that is no ISO date, no time of day, no sentinel
    year.
    """
    findings = []
    for table in registry.tables:
        columns = registry.schema.tables[registry.declared_name(table)].columns
        rows = registry.raw[table].with_columns(registry[table][ID])
        findings += [
            rows_where(rows, _is_malformed(name, rows.schema[name]))
            for name, column in columns.items()
            if column.kind == "date" and name in rows.columns
        ]
        if "TIMEOFEXPOSURE" in rows.columns:
            findings.append(rows_where(rows, text("TIMEOFEXPOSURE").str.contains("1899|1900|9999")))
    return together(*findings)


def _is_malformed(column: str, kind: pl.DataType) -> pl.Expr:
    value = pl.col(column)
    if kind == pl.Date:
        return value.dt.year().is_in(SENTINEL_YEARS)
    if kind == pl.Datetime:
        return value.dt.year().is_in(SENTINEL_YEARS) | (value != value.dt.truncate("1d"))
    if kind == pl.Null:
        return pl.lit(False)
    return ~text(column).str.contains(ISO_DATE) | text(column).str.slice(0, 4).is_in(
        [str(year) for year in SENTINEL_YEARS]
    )


def diagnosis_window(registry: Registry, context: RuleContext) -> Finding:
    day = pl.col("DIAGNOSISDATEBEST")
    return rows_where(
        registry[TUMOUR],
        day.is_null() | ~day.is_between(context.first_diagnosis, context.last_diagnosis),
    )


def event_window(registry: Registry, context: RuleContext) -> Finding:
    findings = []
    for rows in registry.tables.values():
        for column in date_columns(rows):
            if column != "DIAGNOSISDATEBEST":  # clinical rule 10
                first = context.first_event - timedelta(
                    days=DAYS_BEFORE_EVENT if column in BEFORE_EVENTS else 0
                )
                late = (
                    pl.col(column) > context.extract_date if context.extract_date else pl.lit(False)
                )
                findings.append(rows_where(rows, (pl.col(column) < first) | late))
    return together(*findings)


def first_diagnosis(registry: Registry) -> pl.DataFrame:
    """patient_id and `diagnosed`: each patient's first date of diagnosis."""
    return registry[TUMOUR].group_by(ID).agg(pl.col("DIAGNOSISDATEBEST").min().alias("diagnosed"))


def treatment_starts(registry: Registry) -> list[pl.DataFrame]:
    """patient_id, `start`, `diagnosed` (a surgery's own tumour, else the first), one frame per
    source.
    """
    starts = []
    diagnosed = first_diagnosis(registry)
    if registry.has(TUMOUR, ["DATE_FIRST_SURGERY"]):
        surgery, own = (
            pl.col("DATE_FIRST_SURGERY").alias("start"),
            pl.col("DIAGNOSISDATEBEST").alias("diagnosed"),
        )
        starts.append(registry[TUMOUR].select(ID, surgery, own))
    for table, column in ((REGIMEN, "START_DATE_OF_REGIMEN"), (EPISODE, "APPTDATE")):
        if registry.has(table, [column]):
            starts.append(
                registry[table]
                .select(ID, pl.col(column).alias("start"))
                .join(diagnosed, on=ID, how="left")
            )
    return starts


def treatment_near_diagnosis(registry: Registry, context: RuleContext) -> Finding:
    early = pl.col("start") < pl.col("diagnosed") - pl.duration(days=DAYS_BEFORE_DIAGNOSIS)
    return together(*(rows_where(rows, early) for rows in treatment_starts(registry)))


def treatment_before_diagnosis(registry: Registry, context: RuleContext) -> Finding:
    first = pl.concat(
        [rows.select(ID, "start") for rows in treatment_starts(registry)],
        how="vertical_relaxed",
    )
    first = (
        first.group_by(ID)
        .agg(pl.col("start").min())
        .drop_nulls("start")
        .join(first_diagnosis(registry), on=ID)
    )
    return share(first.filter(pl.col("start") < pl.col("diagnosed")).height, first.height)


RULES = (
    Rule(
        number=9,
        title="Dates are ISO dates without time or sentinel",
        severity="F",
        check=date_forms,
    ),
    Rule(
        number=10,
        title="Diagnosis lies in the registration window",
        severity="F",
        check=diagnosis_window,
        reads={TUMOUR: ["DIAGNOSISDATEBEST"]},
    ),
    Rule(
        number=11,
        title="All other dates lie between the first event date and the extract date",
        severity="F",
        check=event_window,
    ),
    Rule(
        number=17,
        title="Treatment starts at most 31 days before diagnosis",
        severity="F",
        check=treatment_near_diagnosis,
        reads={TUMOUR: ["DIAGNOSISDATEBEST"]},
    ),
    Rule(
        number=18,
        title="First treatments before diagnosis",
        severity="W",
        scope="rate",
        bounds=(None, 0.10),
        check=treatment_before_diagnosis,
        reads={TUMOUR: ["DIAGNOSISDATEBEST"], REGIMEN: ["START_DATE_OF_REGIMEN"]},
    ),
)
