"""Clinical rules 39 to 41: the drugs of a cycle, their routes and doses."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, together
from pipeline.checks.rules.registry import (
    CYCLE,
    DRUG,
    REGIMEN,
    REGIMEN_ID,
    Registry,
    number,
    text,
)
from pipeline.schema.codes import drug_regimens
from pipeline.schema.patient_log import ID

BODY_SURFACE, BODY_WEIGHT = 1.8, 75.0  # m2 and kg, for a reference dose without the patient's own


def drugs_in_their_cycle(registry: Registry, context: RuleContext) -> Finding:
    """From the day before the cycle until the day before the next."""
    cycles = (
        registry[CYCLE]
        .select(ID, REGIMEN_ID, "MERGED_CYCLE_ID", "START_DATE_OF_CYCLE")
        .sort(REGIMEN_ID, "START_DATE_OF_CYCLE")
    )
    cycles = cycles.with_columns(
        pl.col("START_DATE_OF_CYCLE").shift(-1).over(ID, REGIMEN_ID).alias("next")
    )
    rows = _join_cycles(registry, cycles)
    day = pl.col("ADMINISTRATION_DATE")
    early = day < pl.col("START_DATE_OF_CYCLE") - pl.duration(days=1)
    return rows_where(rows, early | (day >= pl.col("next")).fill_null(False))


def _join_cycles(registry: Registry, cycles: pl.DataFrame) -> pl.DataFrame:
    """Each drug row with its cycle's columns."""
    return registry[DRUG].join(
        cycles.unique([ID, "MERGED_CYCLE_ID"]),
        on=[ID, "MERGED_CYCLE_ID"],
        how="left",
    )


def _drugs_with_regimen(registry: Registry) -> pl.DataFrame:
    regimens = (
        registry[REGIMEN]
        .select(ID, REGIMEN_ID, text("MAPPED_REGIMEN").alias("regimen"))
        .unique([ID, REGIMEN_ID])
    )
    cycles = (
        registry[CYCLE]
        .select(ID, REGIMEN_ID, "MERGED_CYCLE_ID")
        .join(regimens, on=[ID, REGIMEN_ID], how="left")
    )
    return _join_cycles(registry, cycles)


@cache
def _drug_frame() -> pl.DataFrame:
    """One row per regimen and drug: legal `routes`, `low` and `high` reference dose in the unit of
    the dose column (mg or IU).
    """
    rows = []
    for regimen in drug_regimens.regimens().values():
        for name in dict.fromkeys(drug.name for drug in regimen.drugs):
            entries = [drug for drug in regimen.drugs if drug.name == name]
            doses = [_reference_dose(drug) for drug in entries]
            rows.append(
                (
                    regimen.name,
                    name,
                    sorted({drug.route for drug in entries}),
                    min(doses),
                    max(doses),
                )
            )
    kinds = pl.Schema(
        {
            "regimen": pl.String(),
            "drug": pl.String(),
            "routes": pl.List(pl.String),
            "low": pl.Float64(),
            "high": pl.Float64(),
        }
    )
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _reference_dose(drug: drug_regimens.Drug) -> float:
    factor = {
        "mg": 1.0,
        "iu": 1.0,
        "mg_m2": BODY_SURFACE,
        "iu_m2": BODY_SURFACE,
        "mg_kg": BODY_WEIGHT,
        "auc": drug_regimens.auc_to_mg(),
    }
    return min(
        drug.dose * factor[drug.unit], drug_regimens.max_single_dose().get(drug.name, float("inf"))
    )


def drugs_of_the_regimen(registry: Registry, context: RuleContext) -> Finding:
    """A regimen of the code list has its own drugs, at least one in each cycle, and its own
    benchmark group. Another one cannot be judged.
    """
    has_plan = pl.col("regimen").is_in(list(drug_regimens.regimens()))
    rows = _drugs_with_regimen(registry).filter(has_plan)
    foreign = rows.join(
        _drug_frame(),
        left_on=["regimen", text("DRUG_GROUP")],
        right_on=["regimen", "drug"],
        how="anti",
    )
    groups = pl.DataFrame(
        {
            "regimen": list(drug_regimens.regimens()),
            "group": [r.benchmark_group for r in drug_regimens.regimens().values()],
        }
    )
    regimens = (
        registry[REGIMEN]
        .with_columns(text("MAPPED_REGIMEN").alias("regimen"))
        .join(groups, on="regimen")
    )
    cycles = registry[CYCLE].join(regimens.select(ID, REGIMEN_ID).unique(), on=[ID, REGIMEN_ID])
    bare = cycles.join(
        registry[DRUG].select(ID, "MERGED_CYCLE_ID").unique(),
        on=[ID, "MERGED_CYCLE_ID"],
        how="anti",
    )
    other_group = rows_where(regimens, text("BENCHMARK_GROUP").ne_missing(pl.col("group")))
    return together(Finding(foreign, rows.height), Finding(bare, cycles.height), other_group)


def routes_and_doses(registry: Registry, context: RuleContext) -> Finding:
    rows = _drugs_with_regimen(registry).join(
        _drug_frame(),
        left_on=["regimen", text("DRUG_GROUP")],
        right_on=["regimen", "drug"],
        how="left",
    )
    foreign = text("ADMINISTRATION_ROUTE").is_not_null() & ~pl.col("routes").list.contains(
        text("ADMINISTRATION_ROUTE")
    )
    return rows_where(
        rows,
        foreign.fill_null(False) | (number("ACTUAL_DOSE_PER_ADMINISTRATION") <= 0).fill_null(False),
    )


def doses_near_reference(registry: Registry, context: RuleContext) -> Finding:
    rows = _drugs_with_regimen(registry).join(
        _drug_frame(), left_on=["regimen", text("DRUG_GROUP")], right_on=["regimen", "drug"]
    )
    dose = number("ACTUAL_DOSE_PER_ADMINISTRATION")
    return rows_where(rows, (dose < 0.1 * pl.col("low")) | (dose > 3 * pl.col("high")))


DRUGS = {
    DRUG: ["MERGED_CYCLE_ID", "DRUG_GROUP"],
    CYCLE: [REGIMEN_ID, "MERGED_CYCLE_ID"],
    REGIMEN: [REGIMEN_ID, "MAPPED_REGIMEN", "BENCHMARK_GROUP"],
}


DOSES = {
    **DRUGS,
    DRUG: [
        "MERGED_CYCLE_ID",
        "DRUG_GROUP",
        "ACTUAL_DOSE_PER_ADMINISTRATION",
        "ADMINISTRATION_ROUTE",
    ],
}


RULES = (
    Rule(
        number=39,
        title="Drugs are given within their cycle",
        severity="F",
        check=drugs_in_their_cycle,
        reads={
            DRUG: ["MERGED_CYCLE_ID", "ADMINISTRATION_DATE"],
            CYCLE: [REGIMEN_ID, "MERGED_CYCLE_ID", "START_DATE_OF_CYCLE"],
        },
    ),
    Rule(
        number=40,
        title="Drugs are those of the regimen, and the benchmark group is its own",
        severity="F",
        check=drugs_of_the_regimen,
        reads=DRUGS,
    ),
    Rule(
        number=41,
        part="a",
        title="The route fits the drug, and the dose is positive",
        severity="F",
        check=routes_and_doses,
        reads=DOSES,
    ),
    Rule(
        number=41,
        part="b",
        title="Doses outside 0.1 to 3 times the reference",
        severity="W",
        bounds=(None, 0.01),
        check=doses_near_reference,
        reads=DOSES,
    ),
)
