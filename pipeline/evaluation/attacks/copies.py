"""Copies: whole patients, and sequences of dates, that a synthetic table repeats.

No published attack is needed for these: a copy is found by looking for it. The question is how many
would be there by chance, which two controls answer: patients who were not trained on, and, for
whole patients, how often real patients are like each other and synthetic ones like each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.spatial import KDTree
from scipy.stats import chi2, poisson

from pipeline.evaluation.attacks.neighbours import have_exact_copies
from pipeline.evaluation.attacks.rows import Tables, scaled
from pipeline.evaluation.attacks.trials import Trial, of_patients
from pipeline.schema.patient_log import ID, PatientLog

NEAR_DAYS = 3  # every event of a near copy lies at most so far off
MIN_DATES = 4  # distinct days of a sequence: shorter ones many people share by chance
MANY = 2  # real patients with the same sequence: it tells of nobody
DOUBT = 1e-4  # chance that a bound on coincidences is too low
CLUMPS = 2.0  # copies of up to so many times the coincidences are put down to clumped rows
SHOWS_ROWS = (
    "A synthetic patient is the same as a real one in every column, more often than such patients"
    " meet by chance."
)
SHOWS_DATES = (
    "The days of a real patient's events stand in the synthetic table: who knows them, as the"
    " patient does, finds the rest."
)
CANNOT_SHOW = (
    "A copy with a few changes passes; distance to the closest record is information, not proof"
    " (Yao and others 2025)."
)


def patient_copies(tables: Tables, _: np.random.Generator) -> list[Trial]:
    """rate and control: shares of training and holdout patients with a synthetic row that is the
    same in all columns.

    p is twice the smaller of two: Fisher's against the holdout, and one that needs no holdout. The
    pairs of a real and a synthetic row that agree by chance have the rate sum of p(x) q(x), which
    is at most the root of the rates at which two real and two synthetic rows agree (Cauchy and
    Schwarz), whatever the model is. A small holdout alone cannot show copies of few patients: of
    45 patients drawn from 4,500 and 500, all were trained on once in 115 times.
    """
    train, holdout, synthetic = scaled(
        (tables.train, tables.holdout, tables.synthetic), tables.synthetic
    )
    hits, control_hits = (have_exact_copies(rows, synthetic) for rows in (train, holdout))
    trial = of_patients(
        "exact copies of patients",
        hits,
        control_hits,
        shows=SHOWS_ROWS,
        cannot_show=CANNOT_SHOW,
    )
    chance = min(1.0, 2 * min(trial.p, coincidence(train, synthetic)))
    return [Trial(**{**vars(trial), "p": chance})]


def coincidence(real: np.ndarray, synthetic: np.ndarray) -> float:
    """p-value: so many pairs of equal rows of the two tables, if neither knew of the other.

    Both self-agreements enter by their upper Poisson limits at DOUBT, times CLUMPS.
    """
    if min(len(real), len(synthetic)) < 2 or real.shape[1] == 0:
        return 1.0
    counts = [_counts(rows) for rows in (real, synthetic)]
    both = counts[0].join(counts[1], on="row", suffix="_other")
    pairs = int((both["n"] * both["n_other"]).sum())
    rates = []
    for one, rows in zip(counts, (real, synthetic), strict=True):
        twins = int((one["n"] * (one["n"] - 1) // 2).sum())
        limit = float(chi2.ppf(1 - DOUBT, 2 * (twins + 1))) / 2
        rates.append(limit / (len(rows) * (len(rows) - 1) / 2))
    expected = CLUMPS * math.sqrt(rates[0] * rates[1]) * len(real) * len(synthetic)
    return min(1.0, float(poisson.sf(pairs - 1, expected)) + 2 * DOUBT)


def _counts(rows: np.ndarray) -> pl.DataFrame:
    """`row` (a hash), `n` (Int64): how often each distinct row occurs."""
    return (
        pl.DataFrame({"row": pl.DataFrame(rows).hash_rows(seed=0)})
        .group_by("row")
        .len("n")
        .with_columns(pl.col("n").cast(pl.Int64))
    )


def sequence_copies(tables: Tables, _: np.random.Generator) -> list[Trial]:
    """Two trials, exact and near copies of (type, code, day) sequences; none for a table.

    Left out are sequences on fewer than MIN_DATES distinct days, and those of MANY real patients.
    Days count from each patient's day 0. A near copy has the same types and codes in the same
    order, each within NEAR_DAYS.
    """
    if any(log.events is None for log in tables.logs):
        return []
    train, holdout, synthetic = (_sequences(log) for log in tables.logs)
    counts = Counter([*train, *holdout])
    targets, controls = (
        [one for one in log if len(set(one[1])) >= MIN_DATES and counts[one] < MANY]
        for log in (train, holdout)
    )
    exact = set(synthetic)
    same = [np.array([one in exact for one in people], bool) for people in (targets, controls)]
    near = [_near(people, synthetic) for people in (targets, controls)]
    return [
        of_patients(attack, *success, shows=SHOWS_DATES, cannot_show=CANNOT_SHOW)
        for attack, success in (
            ("exact copies of date sequences", same),
            (f"date sequences within {NEAR_DAYS} days", near),
        )
    ]


Pathway = tuple[str, tuple[int, ...]]  # (types and codes in order, days)


def _sequences(log: PatientLog) -> list[Pathway]:
    """Of each patient with events."""
    token = pl.concat_str("type", pl.col("code").fill_null(""), separator="\x1f")
    per_patient = (
        log.pathways.sort(ID, "seq")
        .group_by(ID, maintain_order=True)
        .agg(token.alias("token"), pl.col("day").alias("day"))
        .select(pl.col("token").list.join("\x1e"), "day")
    )
    return [(tokens, tuple(days)) for tokens, days in per_patient.iter_rows()]


def _near(people: Sequence[Pathway], synthetic: Sequence[Pathway]) -> np.ndarray:
    """bool [people]: whether a synthetic sequence of the same tokens has all its days within
    NEAR_DAYS (Chebyshev's distance).
    """
    kinds = {tokens for tokens, _ in people}
    groups: dict[str, list[tuple[int, ...]]] = {}
    for tokens, days in synthetic:
        if tokens in kinds:
            groups.setdefault(tokens, []).append(days)
    places: dict[str, list[int]] = {}
    for place, (tokens, _) in enumerate(people):
        if tokens in groups:
            places.setdefault(tokens, []).append(place)
    close = np.zeros(len(people), bool)
    for tokens, index in places.items():
        tree = KDTree(np.array(groups[tokens], float))
        queries = np.array([people[place][1] for place in index], float)
        close[index] = (
            tree.query(queries, p=np.inf, distance_upper_bound=NEAR_DAYS + 0.5)[0] < np.inf
        )
    return close
