"""Clinical rules 36 to 45: drug treatment, its cycles, doses and outcomes."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share, together
from pipeline.checks.rules.registry import (
    CYCLE,
    DRUG,
    OUTCOME,
    PATIENT,
    REGIMEN,
    TUMOUR,
    Registry,
    is_dead,
    number,
    text,
)
from pipeline.schema import codes
from pipeline.schema.patient_log import ID

INTRAVESICAL_SITES = r"^(C67|D09|D41)"
BODY_SURFACE, BODY_WEIGHT = 1.8, 75.0  # m2 and kg, for a reference dose without the patient's own
LARGEST_GAP = 120  # days between two cycles
PLANNED = (-2, 14)  # days around the planned gap
REGIMEN_ID = "MERGED_REGIMEN_ID"
START = "START_DATE_OF_REGIMEN"


def started_after_decision(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(registry[REGIMEN], pl.col(START) < pl.col("DATE_DECISION_TO_TREAT"))


def started_soon(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(
        registry[REGIMEN], (pl.col(START) - pl.col("DATE_DECISION_TO_TREAT")).dt.total_days() > 180
    )


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
    starts = registry[REGIMEN].select(ID, REGIMEN_ID, START).unique([ID, REGIMEN_ID])
    of_regimen = of_regimen.join(starts, on=[ID, REGIMEN_ID], how="left")
    counted = (
        (pl.col("lowest") == 1)
        & (pl.col("highest") == pl.col("n"))
        & (pl.col("distinct") == pl.col("n"))
        & (pl.col("n") <= 100)
    )
    near = (pl.col("first_day") - pl.col(START)).dt.total_days().abs() <= 7
    return rows_where(
        of_regimen, ~counted.fill_null(False) | pl.col("unknown") | pl.col("back") | ~near
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
        .join(_planned_gaps(), on=["regimen", "nth"])
    )
    late = pl.col("gap") - pl.col("planned")
    return share(gaps.filter(late.is_between(*PLANNED)).height, gaps.height)


@cache
def _planned_gaps() -> pl.DataFrame:
    rows = [
        (r.name, n, days)
        for r in codes.regimens().values()
        for n, days in enumerate(r.cycle_days, start=1)
    ]
    return pl.DataFrame(
        rows, schema={"regimen": pl.String, "nth": pl.Int64, "planned": pl.Int64}, orient="row"
    )


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
    for regimen in codes.regimens().values():
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


def _reference_dose(drug: codes.Drug) -> float:
    factor = {
        "mg": 1.0,
        "iu": 1.0,
        "mg_m2": BODY_SURFACE,
        "iu_m2": BODY_SURFACE,
        "mg_kg": BODY_WEIGHT,
        "auc": codes.auc_to_mg(),
    }
    return min(drug.dose * factor[drug.unit], codes.max_single_dose().get(drug.name, float("inf")))


def drugs_of_the_regimen(registry: Registry, context: RuleContext) -> Finding:
    """A known regimen has its own drugs, at least one in each cycle, and its own benchmark group.
    An unknown one cannot be judged.
    """
    known = pl.col("regimen").is_in(list(codes.regimens()))
    rows = _drugs_with_regimen(registry).filter(known)
    foreign = rows.join(
        _drug_frame(),
        left_on=["regimen", text("DRUG_GROUP")],
        right_on=["regimen", "drug"],
        how="anti",
    )
    groups = pl.DataFrame(
        {
            "regimen": list(codes.regimens()),
            "group": [r.benchmark_group for r in codes.regimens().values()],
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


def regimen_fits_patient(registry: Registry, context: RuleContext) -> Finding:
    """Regimens of one sex, and drugs into the bladder only with a tumour there."""
    known = codes.regimens().values()
    legal = pl.DataFrame(
        {
            "MAPPED_REGIMEN": [r.name for r in known],
            "sexes": [list(r.sexes) for r in known],
            "bladder": [any(drug.route == "9" for drug in r.drugs) for r in known],
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
    died = (text("REGIMEN_OUTCOME_SUMMARY") == "1") & (~is_dead() | (survived > 90))
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
    flagged = [r.name for r in codes.regimens().values() if r.maintenance or r.chemo_radiation]
    ends = (
        registry[CYCLE]
        .group_by(ID, REGIMEN_ID)
        .agg(pl.col("START_DATE_OF_CYCLE").max().alias("end"))
    )
    hormones = text("BENCHMARK_GROUP").is_in(list(codes.not_chemotherapy())).fill_null(False)
    rows = registry[REGIMEN].filter(~text("MAPPED_REGIMEN").is_in(flagged) & ~hormones)
    rows = (
        rows.filter(text("CHEMO_RADIATION").ne_missing(pl.lit("Y")))
        .join(ends, on=[ID, REGIMEN_ID], how="left")
        .sort(ID, START)
    )
    earlier = pl.col("end").cum_max().shift(1).over(ID)
    return share(
        rows.filter(pl.col(START) < earlier).height if rows.height else 0, registry[REGIMEN].height
    )


REGIMENS = {REGIMEN: [REGIMEN_ID, START]}
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
CYCLES = {
    CYCLE: [REGIMEN_ID, "CYCLE_NUMBER", "START_DATE_OF_CYCLE"],
    REGIMEN: [REGIMEN_ID, START, "MAPPED_REGIMEN"],
}
BODY = {REGIMEN: ["HEIGHT_AT_START_OF_REGIMEN", "WEIGHT_AT_START_OF_REGIMEN"]}
RULES = (
    Rule(
        number=36,
        part="a",
        title="A regimen starts on or after its decision",
        severity="F",
        check=started_after_decision,
        reads={REGIMEN: [START, "DATE_DECISION_TO_TREAT"]},
    ),
    Rule(
        number=36,
        part="b",
        title="Regimens that start more than 180 days after their decision",
        severity="W",
        bounds=(None, 0.01),
        check=started_soon,
        reads={REGIMEN: [START, "DATE_DECISION_TO_TREAT"]},
    ),
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
