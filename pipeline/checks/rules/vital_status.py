"""Clinical rules 12 to 16: the end of follow-up, death and its causes."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share
from pipeline.checks.rules.registry import (
    CYCLE,
    DRUG,
    EPISODE,
    EXPOSURE,
    GENE,
    OUTCOME,
    PATIENT,
    PRESCRIPTION,
    REGIMEN,
    TUMOUR,
    Registry,
    date_columns,
    is_dead,
    text,
)
from pipeline.schema.patient_log import ID

TREATMENT_TABLES = (REGIMEN, CYCLE, DRUG, OUTCOME, EPISODE, PRESCRIPTION, EXPOSURE, GENE)
CAUSES = (
    "DEATHCAUSECODE_1A",
    "DEATHCAUSECODE_1B",
    "DEATHCAUSECODE_1C",
    "DEATHCAUSECODE_2",
    "DEATHCAUSECODE_UNDERLYING",
)


ICD10_LIST = r"^[A-Z]\d{2}\d?(,\s*[A-Z]\d{2}\d?)*$"


def status_after_diagnosis(registry: Registry, context: RuleContext) -> Finding:
    last = registry[TUMOUR].group_by(ID).agg(pl.col("DIAGNOSISDATEBEST").max().alias("last"))
    rows = registry[PATIENT].join(last, on=ID, how="left")
    return rows_where(
        rows, pl.col("VITALSTATUSDATE").is_null() | (pl.col("VITALSTATUSDATE") < pl.col("last"))
    )


def last_event(registry: Registry) -> pl.DataFrame:
    """patient_id and `last`: the latest date of surgery, drugs, radiotherapy and gene tests of each
    patient.
    """
    parts = []
    if registry.has(TUMOUR, ["DATE_FIRST_SURGERY"]):
        parts.append(registry[TUMOUR].select(ID, pl.col("DATE_FIRST_SURGERY").alias("last")))
    for table in TREATMENT_TABLES:
        if registry.has(table) and (columns := date_columns(registry[table])):
            parts.append(registry[table].select(ID, pl.max_horizontal(columns).alias("last")))
    return pl.concat(parts, how="vertical_relaxed").group_by(ID).agg(pl.col("last").max())


def nothing_after_death(registry: Registry, context: RuleContext) -> Finding:
    tolerance = pl.duration(days=0 if context.is_synthetic else 1)
    rows = registry[PATIENT].join(last_event(registry), on=ID, how="left")
    return rows_where(rows, is_dead() & (pl.col("last") > pl.col("VITALSTATUSDATE") + tolerance))


def nothing_after_follow_up(registry: Registry, context: RuleContext) -> Finding:
    rows = registry[PATIENT].join(last_event(registry), on=ID, how="left")
    late = (
        pl.col("VITALSTATUSDATE") > context.extract_date if context.extract_date else pl.lit(False)
    )
    return rows_where(
        rows,
        late
        | (text("VITALSTATUS").str.starts_with("A") & (pl.col("last") > pl.col("VITALSTATUSDATE"))),
    )


def alive_until_the_extract(registry: Registry, context: RuleContext) -> Finding | None:
    if context.extract_date is None:
        return None
    alive = registry[PATIENT].filter(text("VITALSTATUS").str.starts_with("A"))
    return share(
        alive.filter(pl.col("VITALSTATUSDATE") == context.extract_date).height, alive.height
    )


def causes_of_the_living(registry: Registry, context: RuleContext) -> Finding:
    rows = registry[PATIENT]
    columns = [column for column in (*CAUSES, "DEATHLOCATIONCODE") if column in rows.columns]
    return rows_where(
        rows, ~is_dead().fill_null(False) & pl.any_horizontal(pl.col(columns).is_not_null())
    )


def causes_of_the_dead(registry: Registry, context: RuleContext) -> Finding:
    dead = registry[PATIENT].filter(is_dead())
    return share(dead.filter(pl.col("DEATHCAUSECODE_UNDERLYING").is_not_null()).height, dead.height)


def cause_codes(registry: Registry, context: RuleContext) -> Finding:
    rows = registry[PATIENT]
    columns = [column for column in CAUSES if column in rows.columns]
    return rows_where(
        rows,
        pl.any_horizontal(
            (~text(column).str.contains(ICD10_LIST)).fill_null(False) for column in columns
        ),
    )


STATUS = ("VITALSTATUS", "VITALSTATUSDATE")
RULES = (
    Rule(
        number=12,
        title="Vital status is dated, and not before the last diagnosis",
        severity="F",
        check=status_after_diagnosis,
        reads={PATIENT: ["VITALSTATUSDATE"], TUMOUR: ["DIAGNOSISDATEBEST"]},
    ),
    Rule(
        number=13,
        title="No treatment or gene test after death",
        severity="F",
        check=nothing_after_death,
        reads={PATIENT: STATUS, TUMOUR: ["DATE_FIRST_SURGERY"]},
    ),
    Rule(
        number=14,
        part="a",
        title="No status date after the extract, no event of the living after their status date",
        severity="F",
        check=nothing_after_follow_up,
        reads={PATIENT: STATUS, TUMOUR: ["DATE_FIRST_SURGERY"]},
    ),
    Rule(
        number=14,
        part="b",
        title="The living are followed until the extract date",
        severity="F",
        scope="rate",
        bounds=(0.99, None),
        check=alive_until_the_extract,
        reads={PATIENT: STATUS},
    ),
    Rule(
        number=15,
        part="a",
        title="Cause and place of death only for the dead",
        severity="F",
        check=causes_of_the_living,
        reads={PATIENT: STATUS[:1]},
    ),
    Rule(
        number=15,
        part="b",
        title="The dead have an underlying cause",
        severity="W",
        scope="rate",
        bounds=(0.97, None),
        check=causes_of_the_dead,
        reads={PATIENT: ["VITALSTATUS", "DEATHCAUSECODE_UNDERLYING"]},
    ),
    Rule(
        number=16,
        title="Causes of death are ICD-10 codes",
        severity="F",
        check=cause_codes,
        reads={PATIENT: ["DEATHCAUSECODE_UNDERLYING"]},
    ),
)
