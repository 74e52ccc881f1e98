"""SIM_SACT_DRUG_DETAIL: what is given on which day of a cycle, and in what dose (simulator.md
3.5).
"""

from functools import cache

import numpy as np
import polars as pl

from pipeline.schema.codes import drug_regimens
from pipeline.simulator import draw
from pipeline.simulator.draw import Bools, Floats, Ints
from pipeline.simulator.parameters import load
from pipeline.simulator.values import Courses
from pipeline.simulator.view import dates

# drug rows have 64 numbers a cycle, so that 30 million cycles stay below 2**31
DAYS_PER_DRUG = 5  # at most, in a cycle of any regimen
CYCLE_BASE, DRUG_BASE = 20_000_001, 100_000_000


def administrations(
    courses: Courses,
    cycles: pl.DataFrame,
    body: tuple[Floats, Floats],
    end: Ints,
    seed: int,
) -> pl.DataFrame:
    """One row per drug administration; ids and skipped days depend on the cycle's id and the drug's
    slot only.
    """
    rows = cycles.join(_plan_rows(), on=["regimen", "plan_cycle"], how="inner").sort(
        "MERGED_CYCLE_ID", "slot"
    )
    key = (rows["MERGED_CYCLE_ID"].to_numpy() - CYCLE_BASE) * 64 + rows["slot"].to_numpy()
    rows = rows.with_columns(
        MERGED_DRUG_DETAIL_ID=pl.Series(DRUG_BASE + key), at=pl.col("day") + pl.col("drug_day") - 1
    )
    skipped = pl.Series(draw.coins(key, seed, "skipped") < load()["drugs"]["extra_day_skipped"])
    course = rows["course"].to_numpy()
    keep = (
        (pl.col("at") <= pl.Series(end[course]))
        & (pl.col("at") < pl.col("next_day"))
        & ~(skipped & (pl.col("drug_day") > 1))
    )
    dose = _doses(rows, body, courses.reduced)
    return (
        rows.with_columns(
            ACTUAL_DOSE_PER_ADMINISTRATION=pl.Series(dose),
            two_strengths=_two_strengths(rows, key, dose, seed),
            ADMINISTRATION_DATE=dates(rows["at"].to_numpy()),
            OPCS_DELIVERY_CODE=_delivery_code(),
        )
        .filter(keep)
        .pipe(_in_two_rows)
        .select(
            "MERGED_DRUG_DETAIL_ID",
            "MERGED_CYCLE_ID",
            "ACTUAL_DOSE_PER_ADMINISTRATION",
            "OPCS_DELIVERY_CODE",
            "ADMINISTRATION_ROUTE",
            "ADMINISTRATION_DATE",
            "DRUG_GROUP",
            "course",
        )
    )


def _delivery_code() -> pl.Expr:
    """OPCS-4: oral, a further day of the cycle, a further drug, or the first infusion."""
    return (
        pl.when(pl.col("ADMINISTRATION_ROUTE") == "2")
        .then(pl.lit("X731"))
        .when(pl.col("drug_day") > 1)
        .then(pl.lit("X724"))
        .when(pl.col("slot") >= 2 * DAYS_PER_DRUG)
        .then(pl.lit("X722"))
        .otherwise(pl.lit("X723"))
    )


def _two_strengths(rows: pl.DataFrame, key: Ints, dose: Floats, seed: int) -> pl.Series:
    """Whether a dose is made up of two strengths or bags, each of which the registry lists."""
    raw = load()["drugs"]["two_strengths"]
    oral = (rows["ADMINISTRATION_ROUTE"] == "2").to_numpy()
    some = draw.coins(key, seed, "two strengths") < np.where(oral, raw["oral"], raw["other"])
    return pl.Series(some & (dose >= raw["least_dose"]))


def _in_two_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Three quarters of a dose of two strengths in its own row, the rest in a row of its own."""
    dose = pl.col("ACTUAL_DOSE_PER_ADMINISTRATION")
    rest = (dose / 4).round(1)
    second = rows.filter("two_strengths").with_columns(
        pl.col("MERGED_DRUG_DETAIL_ID") + DAYS_PER_DRUG, rest
    )
    first = rows.with_columns(pl.when("two_strengths").then((dose - rest).round(1)).otherwise(dose))
    return pl.concat([first, second])


@cache
def _plan_rows() -> pl.DataFrame:
    """One row per regimen, cycle of its plan, drug and day: what is given."""
    rows = []
    for index, regimen in enumerate(drug_regimens.regimens().values()):
        for cycle in range(regimen.cycles):
            for order, drug in enumerate(regimen.drugs):
                if drug.first_cycle <= cycle + 1 <= drug.last_cycle:
                    rows += [
                        (
                            index,
                            cycle,
                            order * 2 * DAYS_PER_DRUG + i,
                            drug.name,
                            drug.dose,
                            drug.unit,
                            drug.route,
                            day,
                        )
                        for i, day in enumerate(drug.days)
                    ]
    return pl.DataFrame(
        rows,
        orient="row",
        schema={
            "regimen": pl.Int64,
            "plan_cycle": pl.Int64,
            "slot": pl.Int64,
            "DRUG_GROUP": pl.String,
            "dose": pl.Float64,
            "unit": pl.String,
            "ADMINISTRATION_ROUTE": pl.String,
            "drug_day": pl.Int64,
        },
    )


def _doses(rows: pl.DataFrame, body: tuple[Floats, Floats], reduced: Bools) -> Floats:
    """Dose per administration: reference x body surface (Mosteller) or weight, reduced by a fifth
    in some courses, rounded as pharmacies do.
    """
    course, unit = rows["course"].to_numpy(), rows["unit"].to_numpy()
    height, weight = body[0][course], body[1][course]
    surface = np.sqrt(height * 100 * weight / 3600)
    factor = np.select(
        [np.isin(unit, ["mg_m2", "iu_m2"]), unit == "mg_kg", unit == "auc"],
        [surface, weight, np.full(len(course), drug_regimens.auc_to_mg())],
        1.0,
    )
    dose = (
        rows["dose"].to_numpy()
        * factor
        * np.where(reduced[course] & np.isin(unit, ["mg_m2", "auc", "mg_kg"]), 0.8, 1.0)
    )
    for drug, most in drug_regimens.max_single_dose().items():
        dose = np.where(rows["DRUG_GROUP"].to_numpy() == drug, np.minimum(dose, most), dose)
    exact = np.isin(unit, ["mg", "iu"])
    rounded = np.where(
        dose >= 50, np.rint(dose / 5) * 5, np.where(dose >= 10, np.rint(dose), np.round(dose, 1))
    )
    return np.where(exact, dose, np.maximum(rounded, 0.1))
