"""Clinical rules 37 and 38: cycles count up, and the days between them."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share
from pipeline.checks.rules.registry import (
    CYCLE,
    REGIMEN,
    REGIMEN_ID,
    REGIMEN_START,
    Registry,
    number,
    text,
)
from pipeline.schema.codes import drug_regimens
from pipeline.schema.patient_log import ID

LARGEST_GAP = 120  # days between two cycles
DAYS_AROUND_PLAN = (-2, 14)  # of a gap between cycles


def cycles_count_up(registry: Registry, context: RuleContext) -> Finding:
    """Per regimen: numbered 1..n without a gap, n at most 100, dates strictly increasing, the first
    within 7 days of the regimen's start.
    """
    nth, day = number("CYCLE_NUMBER"), pl.col("START_DATE_OF_CYCLE")
    cycles = (
        registry[CYCLE]
        .select(ID, REGIMEN_ID, nth.alias("nth"), day.alias("day"))
        .sort(REGIMEN_ID, "nth")
    )
    cycles = cycles.with_columns(
        pl.col("day").diff().over(ID, REGIMEN_ID).dt.total_days().alias("gap")
    )
    of_regimen = cycles.group_by(ID, REGIMEN_ID).agg(
        pl.len().alias("n"),
        pl.col("nth").n_unique().alias("distinct"),
        pl.col("nth").min().alias("lowest"),
        pl.col("nth").max().alias("highest"),
        (pl.col("nth").is_null() | pl.col("day").is_null()).any().alias("unknown"),
        (pl.col("gap") <= 0).any().alias("back"),
        pl.col("day").first().alias("first_day"),
    )
    starts = registry[REGIMEN].select(ID, REGIMEN_ID, REGIMEN_START).unique([ID, REGIMEN_ID])
    of_regimen = of_regimen.join(starts, on=[ID, REGIMEN_ID], how="left")
    is_consecutive = (
        (pl.col("lowest") == 1)
        & (pl.col("highest") == pl.col("n"))
        & (pl.col("distinct") == pl.col("n"))
        & (pl.col("n") <= 100)
    )
    near = (pl.col("first_day") - pl.col(REGIMEN_START)).dt.total_days().abs() <= 7
    return rows_where(
        of_regimen, ~is_consecutive.fill_null(False) | pl.col("unknown") | pl.col("back") | ~near
    )


def _gaps(registry: Registry) -> pl.DataFrame:
    """Cycles that another one follows: regimen, number, `gap` in days."""
    cycles = (
        registry[CYCLE]
        .select(
            ID,
            REGIMEN_ID,
            number("CYCLE_NUMBER").cast(pl.Int64).alias("nth"),
            "START_DATE_OF_CYCLE",
        )
        .sort(REGIMEN_ID, "nth")
    )
    gap = (
        (pl.col("START_DATE_OF_CYCLE").shift(-1) - pl.col("START_DATE_OF_CYCLE"))
        .over(ID, REGIMEN_ID)
        .dt.total_days()
    )
    return cycles.with_columns(gap.alias("gap")).drop_nulls("gap")


def gaps_of_cycles(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(_gaps(registry), ~pl.col("gap").is_between(1, LARGEST_GAP))


def gaps_as_planned(registry: Registry, context: RuleContext) -> Finding:
    regimens = (
        registry[REGIMEN]
        .select(ID, REGIMEN_ID, text("MAPPED_REGIMEN").alias("regimen"))
        .unique([ID, REGIMEN_ID])
    )
    gaps = (
        _gaps(registry)
        .join(regimens, on=[ID, REGIMEN_ID])
        .join(_plan_gaps(), on=["regimen", "nth"])
    )
    late = pl.col("gap") - pl.col("plan_gap")
    return share(gaps.filter(late.is_between(*DAYS_AROUND_PLAN)).height, gaps.height)


@cache
def _plan_gaps() -> pl.DataFrame:
    rows = [
        (r.name, n, days)
        for r in drug_regimens.regimens().values()
        for n, days in enumerate(r.cycle_days, start=1)
    ]
    return pl.DataFrame(
        rows, schema={"regimen": pl.String, "nth": pl.Int64, "plan_gap": pl.Int64}, orient="row"
    )


CYCLES = {
    CYCLE: [REGIMEN_ID, "CYCLE_NUMBER", "START_DATE_OF_CYCLE"],
    REGIMEN: [REGIMEN_ID, REGIMEN_START, "MAPPED_REGIMEN"],
}


RULES = (
    Rule(
        number=37,
        title=(
            "Cycles are numbered from 1 without gaps, their dates increase, the first is at the"
            " regimen's start"
        ),
        severity="F",
        check=cycles_count_up,
        reads=CYCLES,
    ),
    Rule(
        number=38,
        part="a",
        title="Gaps between cycles outside 1 to 120 days",
        severity="W",
        bounds=(None, 0.01),
        check=gaps_of_cycles,
        reads=CYCLES,
    ),
    Rule(
        number=38,
        part="b",
        title="Gaps between cycles near the plan",
        severity="W",
        scope="rate",
        bounds=(0.85, None),
        check=gaps_as_planned,
        reads=CYCLES,
    ),
)
