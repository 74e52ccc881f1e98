"""Figures of the pathway benchmark: what an epidemiologist would ask of a synthetic log, answered
on it and on a holdout of equal size.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from lifelines import CoxPHFitter
from scipy.stats import wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from pipeline.evaluation import pathways
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema

TREATMENTS = ("SURGERY", "SACT_REGIMEN", "RADIOTHERAPY")
SITE, STAGE = "SITE_GROUP", "STAGE_GROUP"
MIN_STRATUM, MIN_TREATED = 200, 1000  # real patients
DETECTION_PATIENTS = 20_000  # of each kind
FIGURES = (
    "unigram_tvd",
    "bigram_tvd",
    "trigram_tvd",
    "combination_tvd",
    "survival_gap_1y",
    "survival_gap_5y",
    "cox_error",
    "wait_gap",
    "mean_wait_gap",
    "length_distance",
    "gap_distance",
    "detection",
    "detection_events",
    "illegal",
)


def figures(schema: Schema, real: PatientLog, other: PatientLog) -> dict[str, float | None]:
    """FIGURES of `other` against `real`, a holdout. Distances are 0 and detection .5 for the same
    population.
    """
    grams = ((1, "unigram"), (2, "bigram"), (3, "trigram"))
    scores: dict[str, float | None] = {
        f"{name}_tvd": pathways.ngram_tvd(real.pathways, other.pathways, n) for n, name in grams
    }
    scores["combination_tvd"] = combination_tvd(real, other)
    scores |= survival_gaps(schema, real, other)
    scores["cox_error"] = float(np.abs(cox(schema, real) - cox(schema, other)).mean())
    waits = wait_gaps(real, other)
    scores["wait_gap"], scores["mean_wait_gap"] = (
        (float(waits.max()), float(waits.mean())) if len(waits) else (None, None)
    )
    scores["length_distance"] = float(
        wasserstein_distance(pathways.lengths(real.pathways), pathways.lengths(other.pathways))
    )
    scores["gap_distance"] = float(wasserstein_distance(gaps(real.pathways), gaps(other.pathways)))
    scores["detection"] = detection(schema, real, other, with_statics=True)
    scores["detection_events"] = detection(schema, real, other, with_statics=False)
    scores["illegal"] = float(
        violations(Grammar(schema), other.patients, other.pathways)[ID].n_unique()
    )
    return scores


def combinations(sample: PatientLog) -> pl.DataFrame:
    """Each patient's site, stage and `combination` of treatments, as bits."""
    bits = [pl.col("type").eq(name).any().cast(pl.Int8).alias(name) for name in TREATMENTS]
    combination = (
        sample.pathways.group_by(ID)
        .agg(bits)
        .select(
            ID,
            combination=pl.sum_horizontal(pl.col(name) * 2**i for i, name in enumerate(TREATMENTS)),
        )
    )
    return sample.patients.select(ID, SITE, pl.col(STAGE).fill_null("missing")).join(
        combination, on=ID
    )


def combination_tvd(real: PatientLog, other: PatientLog) -> float | None:
    """Mean over site x stage strata of at least MIN_STRATUM real patients of the TVD between shares
    of treatment combinations (registry_tables.md 3.2).

    None where no stratum is large enough.
    """
    shares = []
    for sample in (real, other):
        counts = combinations(sample).group_by(SITE, STAGE, "combination").len()
        total = pl.col("len").sum().over(SITE, STAGE)
        shares.append(counts.with_columns(total=total, share=pl.col("len") / total))
    strata = shares[0].filter(pl.col("total") >= MIN_STRATUM).select(SITE, STAGE).unique()
    first, second = (s.join(strata, on=[SITE, STAGE]) for s in shares)
    both = first.join(second, on=[SITE, STAGE, "combination"], how="full", coalesce=True)
    gap = both.with_columns(
        gap=(pl.col("share").fill_null(0) - pl.col("share_right").fill_null(0)).abs()
    )
    each = gap.group_by(SITE, STAGE).agg(pl.col("gap").sum() / 2)["gap"].to_numpy()
    return float(each.mean()) if len(each) else None


def survival_gaps(schema: Schema, real: PatientLog, other: PatientLog) -> dict[str, float | None]:
    """Mean over stages of the absolute gap between Kaplan-Meier curves at 1 and 5 years. None
    where no stage has MIN_STRATUM real patients.
    """
    assert schema.events is not None
    grid = np.array([1.0, 5.0]) * pathways.DAYS_PER_YEAR
    curves = [
        pathways.kaplan_meier(pathways.survival(sample, schema.events, STAGE), grid)
        for sample in (real, other)
    ]
    sizes = dict(real.patients[STAGE].fill_null("missing").value_counts().iter_rows())
    shared = [name for name in curves[0] if name != "all" and sizes[name] >= MIN_STRATUM]
    missing = np.ones(2)  # a stage that the synthetic log lacks is wholly wrong
    if not shared:
        return {"survival_gap_1y": None, "survival_gap_5y": None}
    gap = np.mean(
        [np.abs(curves[0][name] - curves[1].get(name, missing)) for name in shared], axis=0
    )
    return {"survival_gap_1y": float(gap[0]), "survival_gap_5y": float(gap[1])}


def cox(schema: Schema, sample: PatientLog) -> np.ndarray:
    """Log hazard ratios: age per ten years, sex, stages against stage 1, deprivation per
    quintile. Patients of known stage.
    """
    assert schema.events is not None
    outcomes = pathways.survival(sample, schema.events, STAGE).drop("stratum")
    rows = sample.patients.join(outcomes, on=ID).filter(pl.col(STAGE).is_in(["1", "2", "3", "4"]))
    design = rows.select(
        age=pl.col("AGE") / 10,
        male=(pl.col("GENDER") == "1").cast(pl.Float64),
        **{f"stage{s}": (pl.col(STAGE) == s).cast(pl.Float64) for s in "234"},
        deprivation=pl.col("QUINTILE_2019").str.head(1).cast(pl.Float64),
        days=pl.col("days").clip(0) + 0.5,
        died="died",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CoxPHFitter().fit(design.drop_nulls().to_pandas(), "days", "died").params_.to_numpy()


def wait_gaps(real: PatientLog, other: PatientLog) -> np.ndarray:
    """Days between the medians of time to first treatment, for each site of at least MIN_TREATED
    treated real patients.
    """
    medians = []
    for sample in (real, other):
        first = (
            sample.pathways.filter(pl.col("type").is_in(TREATMENTS))
            .group_by(ID)
            .agg(pl.col("day").min())
        )
        medians.append(
            first.join(sample.patients.select(ID, SITE), on=ID)
            .group_by(SITE)
            .agg(pl.col("day").median(), pl.len())
        )
    both = medians[0].filter(pl.col("len") >= MIN_TREATED).join(medians[1], on=SITE, how="left")
    return both.select((pl.col("day") - pl.col("day_right")).abs().fill_null(999.0))[
        "day"
    ].to_numpy()


def gaps(events: pl.DataFrame) -> np.ndarray:
    """Days between an event and the one before it."""
    return (
        events.sort(ID, "seq").select(pl.col("day").diff().over(ID)).drop_nulls()["day"].to_numpy()
    )


def detection(schema: Schema, real: PatientLog, other: PatientLog, *, with_statics: bool) -> float:
    """AUC of gradient boosting that tells synthetic patients from the holdout by facts of their
    pathways, five folds. with_statics: and all static columns; else the strata alone (a registry's
    site and stage).
    """
    n = min(DETECTION_PATIENTS, len(real.patients), len(other.patients))
    frames = []
    for sample in (real, other):
        patients = sample.patients.sample(n, seed=1)
        statics = list(schema.patients) if with_statics else schema.strata
        codes = [
            (
                pl.col(name).cast(pl.Int32)
                if column.kind == "date"
                else (
                    pl.col(name)
                    if column.kind == "continuous"
                    else pl.col(name)
                    .cast(pl.String)
                    .replace_strict(
                        {c: i for i, c in enumerate(column.categories)},
                        default=None,
                        return_dtype=pl.Int32,
                    )
                )
            )
            for name, column in schema.patients.items()
            if name in statics
        ]
        frames.append(
            patients.select(ID, *codes)
            .join(facts(schema, sample.pathways), on=ID, how="left")
            .drop(ID)
            .cast(pl.Float32)
            .to_pandas()
        )
    both, labels = pd.concat(frames).dropna(axis=1, how="all"), np.repeat([0, 1], n)
    scores = cross_val_predict(
        HistGradientBoostingClassifier(random_state=0),
        both,
        labels,
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        method="predict_proba",
    )[:, 1]
    return float(roc_auc_score(labels, scores))


def facts(schema: Schema, events: pl.DataFrame) -> pl.DataFrame:
    """One row per patient: counts, first days and waits of every type, first codes, attributes,
    order of treatments, gaps within regimens.
    """
    log = schema.events
    assert log is not None
    kind, gap = pl.col("type"), pl.col("day").diff()
    with_codes = [name for name, event_type in log.types.items() if event_type.codes]
    cycle = kind.eq("SACT_CYCLE") & kind.shift(1).eq("SACT_CYCLE")
    columns: list[Any] = [
        pl.len().alias("length"),
        pl.col("day").max().alias("last"),
        gap.mean().alias("mean_gap"),
        gap.max().alias("longest_gap"),
        (gap == 0).sum().alias("same_day"),
        *(kind.eq(name).sum().alias(f"n {name}") for name in log.types),
        *(pl.col("day").filter(kind == name).min().alias(f"first {name}") for name in log.types),
        *(
            pl.col("_code").filter(kind == name).first().alias(f"code {name}")
            for name in with_codes
        ),
        *(
            pl.col("_code").filter(kind == name).last().alias(f"last code {name}")
            for name in with_codes
        ),
        *(pl.col(f"_{name}").mean().alias(f"mean {name}") for name in log.attributes),
        *(pl.col("_type").slice(i, 1).first().alias(f"type {i}") for i in range(3, 8)),
        gap.filter(cycle).mean().alias("cycle_gap"),
        gap.filter(cycle).std().alias("cycle_jitter"),
    ]
    return _coded(log, events).group_by(ID, maintain_order=True).agg(columns)


def _coded(log: EventLog, events: pl.DataFrame) -> pl.DataFrame:
    """The events by patient and position, with `_type`, `_code` and `_ATTRIBUTE` as numbers."""
    kind = pl.col("type")
    order = {name: i for i, name in enumerate(log.types)}
    codes = {f"{name} {code}": i for name, t in log.types.items() for i, code in enumerate(t.codes)}
    values = [
        (
            pl.col(name)
            .cast(pl.String)
            .replace_strict(
                {c: i for i, c in enumerate(column.categories)}, default=None, return_dtype=pl.Int32
            )
            if column.categories
            else pl.col(name)
        ).alias(f"_{name}")
        for name, column in log.attributes.items()
    ]
    return events.sort(ID, "seq").with_columns(
        kind.replace_strict(order, return_dtype=pl.Int32).alias("_type"),
        *values,
        pl.concat_str([kind, pl.col("code").fill_null("")], separator=" ")
        .replace_strict(codes, default=None, return_dtype=pl.Int32)
        .alias("_code"),
    )
