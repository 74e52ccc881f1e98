"""How close two event logs are: n-grams, lengths, waiting times, Kaplan-Meier by stratum
(registry_tables.md 3.1).
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from lifelines import KaplanMeierFitter

from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import EventLog

TOKEN = pl.concat_str(
    [pl.col("type"), pl.col("code").fill_null("")], separator=" "
).str.strip_chars_end()
MIN_STRATUM = 30  # patients: smaller strata are not plotted
DAYS_PER_YEAR = 365.25


def ngram_shares(events: pl.DataFrame, n: int) -> pl.DataFrame:
    """`gram`, `share`: relative frequency of each run of n tokens within a patient."""
    tokens = events.sort("patient_id", "seq").select("patient_id", TOKEN.alias("token"))
    parts = [pl.col("token").shift(-k).over("patient_id") for k in range(n)]
    grams = tokens.select(pl.concat_str(parts, separator=" > ").alias("gram")).drop_nulls()
    return grams.group_by("gram").len().select("gram", share=pl.col("len") / pl.col("len").sum())


def ngram_tvd(real: pl.DataFrame, other: pl.DataFrame, n: int) -> float:
    """Total variation distance between the n-gram shares of two logs."""
    both = (
        ngram_shares(real, n)
        .join(ngram_shares(other, n), on="gram", how="full", coalesce=True)
        .fill_null(0.0)
    )
    gap = both.select((pl.col("share") - pl.col("share_right")).abs().sum()).item()
    return 0.5 * float(gap) if len(both) else math.nan


def lengths(events: pl.DataFrame) -> np.ndarray:
    """Events per patient."""
    return events.group_by("patient_id").len()["len"].to_numpy()


def waiting_days(events: pl.DataFrame, log: EventLog, event_type: str) -> np.ndarray:
    """Days from day 0 to each patient's first event of a type; patients without one are left
    out.
    """
    return (
        events.filter(pl.col("type") == event_type)
        .group_by("patient_id")
        .agg(pl.col("day").min())["day"]
        .to_numpy()
    )


def survival(sample: PatientLog, log: EventLog, stratum: str | None) -> pl.DataFrame:
    """`stratum`, `days`, `died` per patient. What the declaration calls `censoring` censors; where
    it says nothing, every terminal type but the first.
    """
    censoring = list(log.censoring or log.terminal[1:])
    is_censored = pl.col("type").is_in(censoring) | pl.col("code").is_in(censoring).fill_null(False)
    ends = sample.pathways.filter(pl.col("type").is_in(log.terminal)).select(
        "patient_id", days=pl.col("day").clip(lower_bound=0), died=~is_censored
    )
    label = pl.col(stratum).fill_null("missing") if stratum else pl.lit("all")
    return sample.patients.select("patient_id", stratum=label).join(ends, on="patient_id")


def event_name(log: EventLog) -> str:
    """What survival waits for: the codes, or the type, that do not censor."""
    first = log.terminal[0]
    codes = [code for code in log.types[first].codes if code not in log.censoring]
    return " or ".join(codes).lower() if log.censoring and 0 < len(codes) <= 2 else first.lower()


def kaplan_meier(outcomes: pl.DataFrame, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Survival at the days of `grid` for each stratum of at least MIN_STRATUM patients, and for
    all.
    """
    curves = {"all": _curve(outcomes, grid)} if len(outcomes) else {}
    for (name,), part in outcomes.group_by("stratum", maintain_order=True):
        if len(part) >= MIN_STRATUM:
            curves[str(name)] = _curve(part, grid)
    return curves


def _curve(outcomes: pl.DataFrame, grid: np.ndarray) -> np.ndarray:
    fitter = KaplanMeierFitter().fit(outcomes["days"].to_numpy(), outcomes["died"].to_numpy())
    return np.asarray(fitter.survival_function_at_times(grid), dtype=float)
