"""Clinical rules 36 and 42 to 45: regimens, whom they fit, and how they end."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share
from pipeline.checks.rules.registry import (
    CYCLE,
    OUTCOME,
    PATIENT,
    REGIMEN,
    REGIMEN_ID,
    REGIMEN_START,
    TUMOUR,
    Registry,
    is_dead,
    number,
    text,
)
from pipeline.schema.codes import drug_regimens
from pipeline.schema.patient_log import ID

INTRAVESICAL_SITES = r"^(C67|D09|D41)"

DIED = "3"  # z_regimen_outcome_summary: death of patient


def started_after_decision(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(registry[REGIMEN], pl.col(REGIMEN_START) < pl.col("DATE_DECISION_TO_TREAT"))


def started_soon(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(
        registry[REGIMEN],
        (pl.col(REGIMEN_START) - pl.col("DATE_DECISION_TO_TREAT")).dt.total_days() > 180,
    )


def regimen_fits_patient(registry: Registry, context: RuleContext) -> Finding:
    """Regimens of one sex, and drugs into the bladder only with a tumour there."""
    regimens = drug_regimens.regimens().values()
    legal = pl.DataFrame(
        {
            "MAPPED_REGIMEN": [r.name for r in regimens],
            "sexes": [list(r.sexes) for r in regimens],
            "bladder": [any(drug.route == "9" for drug in r.drugs) for r in regimens],
        }
    )
    sexes = registry[PATIENT].select(ID, text("GENDER").alias("sex")).unique(ID)
    at_bladder = registry[TUMOUR].filter(
        text("SITE_ICD10_O2_3CHAR").str.contains(INTRAVESICAL_SITES)
    )
    at_bladder = at_bladder.select(ID, pl.lit(True).alias("at_bladder"))
    rows = (
        registry[REGIMEN]
        .with_columns(text("MAPPED_REGIMEN"))
        .join(legal, on="MAPPED_REGIMEN")
        .join(sexes, on=ID, how="left")
    )
    rows = rows.join(at_bladder.unique(), on=ID, how="left")
    other_sex = pl.col("sex").is_not_null() & ~pl.col("sexes").list.contains(pl.col("sex"))
    return rows_where(rows, other_sex | (pl.col("bladder") & pl.col("at_bladder").is_null()))


def outcomes_fit(registry: Registry, context: RuleContext) -> Finding:
    """Final treatment between the last cycle and death; who died of it died within 90 days."""
    last = (
        registry[CYCLE]
        .group_by(ID, REGIMEN_ID)
        .agg(pl.col("START_DATE_OF_CYCLE").max().alias("last_cycle"))
    )
    vital = registry[PATIENT].select(ID, "VITALSTATUS", "VITALSTATUSDATE").unique(ID)
    rows = (
        registry[OUTCOME].join(last, on=[ID, REGIMEN_ID], how="left").join(vital, on=ID, how="left")
    )
    final = pl.col("DATE_OF_FINAL_TREATMENT")
    survived = (pl.col("VITALSTATUSDATE") - pl.coalesce(final, "last_cycle")).dt.total_days()
    died = (text("REGIMEN_OUTCOME_SUMMARY") == DIED) & (~is_dead() | (survived > 90))
    outside = (final < pl.col("last_cycle")).fill_null(False) | (
        is_dead() & (final > pl.col("VITALSTATUSDATE"))
    ).fill_null(False)
    return rows_where(rows, outside | died.fill_null(False))


def heights_and_weights(registry: Registry, context: RuleContext) -> Finding:
    height, weight = number("HEIGHT_AT_START_OF_REGIMEN"), number("WEIGHT_AT_START_OF_REGIMEN")
    return rows_where(
        registry[REGIMEN],
        (~height.is_between(0.5, 2.2)).fill_null(False)
        | (~weight.is_between(2, 250)).fill_null(False),
    )


def heights_and_weights_known(registry: Registry, context: RuleContext) -> Finding:
    rows = registry[REGIMEN]
    missing = max(
        rows["HEIGHT_AT_START_OF_REGIMEN"].null_count(),
        rows["WEIGHT_AT_START_OF_REGIMEN"].null_count(),
    )
    return share(missing, rows.height)


def regimens_overlap(registry: Registry, context: RuleContext) -> Finding:
    """Share of regimens that begin before an earlier one of the patient ended, leaving out
    maintenance, hormones and chemoradiotherapy.
    """
    flagged = [
        r.name for r in drug_regimens.regimens().values() if r.maintenance or r.chemo_radiation
    ]
    ends = (
        registry[CYCLE]
        .group_by(ID, REGIMEN_ID)
        .agg(pl.col("START_DATE_OF_CYCLE").max().alias("end"))
    )
    hormones = (
        text("BENCHMARK_GROUP").is_in(list(drug_regimens.not_chemotherapy())).fill_null(False)
    )
    rows = registry[REGIMEN].filter(~text("MAPPED_REGIMEN").is_in(flagged) & ~hormones)
    rows = (
        rows.filter(text("CHEMO_RADIATION").ne_missing(pl.lit("Y")))
        .join(ends, on=[ID, REGIMEN_ID], how="left")
        .sort(ID, REGIMEN_START)
    )
    earlier = pl.col("end").cum_max().shift(1).over(ID)
    return share(
        rows.filter(pl.col(REGIMEN_START) < earlier).height if rows.height else 0,
        registry[REGIMEN].height,
    )


REGIMENS = {REGIMEN: [REGIMEN_ID, REGIMEN_START]}
BODY = {REGIMEN: ["HEIGHT_AT_START_OF_REGIMEN", "WEIGHT_AT_START_OF_REGIMEN"]}
RULES = (
    Rule(
        number=36,
        part="a",
        title="A regimen starts on or after its decision",
        severity="F",
        check=started_after_decision,
        reads={REGIMEN: [REGIMEN_START, "DATE_DECISION_TO_TREAT"]},
    ),
    Rule(
        number=36,
        part="b",
        title="Regimens that start more than 180 days after their decision",
        severity="W",
        bounds=(None, 0.01),
        check=started_soon,
        reads={REGIMEN: [REGIMEN_START, "DATE_DECISION_TO_TREAT"]},
    ),
    Rule(
        number=42,
        title="The regimen fits the patient's sex and sites",
        severity="F",
        check=regimen_fits_patient,
        reads={REGIMEN: ["MAPPED_REGIMEN"], PATIENT: ["GENDER"], TUMOUR: ["SITE_ICD10_O2_3CHAR"]},
    ),
    Rule(
        number=43,
        title=(
            "The final treatment lies between last cycle and death; outcome 1 is a death within 90"
            " days"
        ),
        severity="F",
        check=outcomes_fit,
        reads={
            OUTCOME: [REGIMEN_ID, "DATE_OF_FINAL_TREATMENT", "REGIMEN_OUTCOME_SUMMARY"],
            CYCLE: [REGIMEN_ID, "START_DATE_OF_CYCLE"],
            PATIENT: ["VITALSTATUS", "VITALSTATUSDATE"],
        },
    ),
    Rule(
        number=44,
        part="a",
        title="Height is 0.5 to 2.2 m, weight 2 to 250 kg",
        severity="F",
        check=heights_and_weights,
        reads=BODY,
    ),
    Rule(
        number=44,
        part="b",
        title="Height or weight missing",
        severity="W",
        scope="rate",
        bounds=(None, 0.45),
        check=heights_and_weights_known,
        reads=BODY,
    ),
    Rule(
        number=45,
        title="Overlapping regimens that are no declared combination",
        severity="W",
        scope="rate",
        bounds=(None, 0.03),
        check=regimens_overlap,
        reads={**REGIMENS, CYCLE: [REGIMEN_ID, "START_DATE_OF_CYCLE"]},
    ),
)
