"""The drugs of each SACT cycle: public regimens and the dose for the body of the patient."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.schema.codes import drug_regimens
from pipeline.schema.patient_log import ID

BY = [ID, "line"]  # a regimen: its position among the patient's regimens
ORAL = "2"  # z_administration_route
# of the dose, where the regimen's dose was reduced (simulator.md 3.5)
REDUCED = 0.8
# metres and kilograms that stand for missing ones, by GENDER (simulator.md 3.5)
BODIES = {"1": (1.76, 83.0), "2": (1.63, 70.0)}


def drug_rows(
    cycles: pl.DataFrame,
    regimens: pl.DataFrame,
    closes: pl.DataFrame,
    patients: pl.DataFrame,
    ends: pl.DataFrame,
) -> pl.DataFrame:
    """What MAPPED_REGIMEN gives in each cycle, on its days before the next cycle and the pathway's
    end. Cycles beyond the plan repeat its last.
    """
    rows = cycles.with_columns(
        pl.min_horizontal("CYCLE_NUMBER", "planned_cycles").alias("_planned")
    ).join(_administrations(), on="code")
    rows = rows.filter(pl.col("_planned").is_between("first_cycle", "last_cycle")).join(
        ends.select(ID, "end_date"), on=ID
    )
    rows = rows.with_columns(
        (pl.col("date").cast(pl.Int32) + pl.col("on_day") - 1)
        .cast(pl.Date)
        .alias("ADMINISTRATION_DATE")
    )
    rows = rows.filter(
        (pl.col("ADMINISTRATION_DATE") <= pl.col("end_date"))
        & (pl.col("_next").is_null() | (pl.col("ADMINISTRATION_DATE") < pl.col("_next")))
    )
    rows = rows.join(
        closes.select(*BY, pl.col("modified").str.starts_with("Y").alias("_reduced")),
        on=BY,
        how="left",
    ).join(_bodies(patients), on=ID)
    rows = rows.sort("MERGED_CYCLE_ID", "entry").with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64).over("MERGED_CYCLE_ID") + 1).alias("_nth")
    )
    return rows.with_columns(
        (pl.col("MERGED_CYCLE_ID") * 1000 + pl.col("_nth")).alias("MERGED_DRUG_DETAIL_ID"),
        _dose().alias("ACTUAL_DOSE_PER_ADMINISTRATION"),
        _delivery().alias("OPCS_DELIVERY_CODE"),
    )


def _delivery() -> pl.Expr:
    """OPCS-4 X72 and X73: a cycle of drugs by mouth alone; else the first attendance of a cycle,
    complex where several drugs are given on it, and its subsequent attendances.
    """
    cycle, by_mouth = "MERGED_CYCLE_ID", pl.col("ADMINISTRATION_ROUTE") == ORAL
    is_first = pl.col("ADMINISTRATION_DATE") == pl.col("ADMINISTRATION_DATE").min().over(cycle)
    together = (is_first & ~by_mouth).sum().over(cycle)
    return (
        pl.when(by_mouth.all().over(cycle))
        .then(pl.lit("X731"))
        .when(~is_first)
        .then(pl.lit("X724"))
        .when(together > 1)
        .then(pl.lit("X722"))
        .otherwise(pl.lit("X723"))
    )


def _dose() -> pl.Expr:
    """The dose for this patient, from cycle 2 on reduced where the regimen's was; in steps of 5
    from 50 on, of 0.1 below.
    """
    full = (
        pl.when(pl.col("unit").is_in(["mg_m2", "iu_m2"]))
        .then(pl.col("dose") * pl.col("_surface"))
        .when(pl.col("unit") == "mg_kg")
        .then(pl.col("dose") * pl.col("_kg"))
        .when(pl.col("unit") == "auc")
        .then(pl.col("dose") * drug_regimens.auc_to_mg())
        .otherwise("dose")
    )
    full = pl.min_horizontal(full, "most")
    dose = (
        pl.when(pl.col("_reduced").fill_null(False) & (pl.col("CYCLE_NUMBER") > 1))
        .then(full * REDUCED)
        .otherwise(full)
    )
    return pl.when(dose >= 50).then((dose / 5).round() * 5).otherwise(dose.round(1).clip(0.1))


def _bodies(patients: pl.DataFrame) -> pl.DataFrame:
    """Weight (kg) and body surface (m2, Mosteller 1987) by patient."""
    metres = pl.coalesce(
        "HEIGHT",
        pl.col("GENDER").replace_strict(
            {sex: body[0] for sex, body in BODIES.items()}, default=1.7, return_dtype=pl.Float64
        ),
    )
    kilograms = pl.coalesce(
        "WEIGHT",
        pl.col("GENDER").replace_strict(
            {sex: body[1] for sex, body in BODIES.items()}, default=75.0, return_dtype=pl.Float64
        ),
    )
    return patients.select(
        ID, kilograms.alias("_kg"), (metres * 100 * kilograms / 3600).sqrt().alias("_surface")
    )


@cache
def _administrations() -> pl.DataFrame:
    """One row per drug and day of a regimen: code, entry (its order), DRUG_GROUP, route, dose,
    unit, most, on_day, first and last cycle.
    """
    rows = [
        (
            name,
            entry * 100 + day,
            drug.name,
            drug.route,
            drug.dose,
            drug.unit,
            drug_regimens.max_single_dose().get(drug.name),
            day,
            drug.first_cycle,
            drug.last_cycle,
        )
        for name, regimen in drug_regimens.regimens().items()
        for entry, drug in enumerate(regimen.drugs)
        for day in drug.days
    ]
    return pl.DataFrame(
        rows,
        schema={
            "code": pl.String,
            "entry": pl.Int64,
            "DRUG_GROUP": pl.String,
            "ADMINISTRATION_ROUTE": pl.String,
            "dose": pl.Float64,
            "unit": pl.String,
            "most": pl.Float64,
            "on_day": pl.Int32,
            "first_cycle": pl.Int64,
            "last_cycle": pl.Int64,
        },
        orient="row",
    )
