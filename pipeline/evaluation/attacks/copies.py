"""Copies: whole patients, and sequences of dates, that a synthetic table repeats.

No published attack is needed for these: a copy is found by looking for it. The question is how many
would be there by chance, which two controls answer: patients who were not trained on, and how often
real patients are like each other and synthetic ones like each other (coincidence.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.spatial import KDTree

from pipeline.evaluation.attacks.coincidence import beside_chance, hashes, have_copies
from pipeline.evaluation.attacks.rows import Tables, scaled
from pipeline.evaluation.attacks.trials import Trial, of_patients
from pipeline.schema.patient_log import ID, PatientLog

NEAR_DAYS = 3  # every event of a near copy lies at most so far off
MIN_DATES = 4  # distinct days of a sequence: shorter ones many people share by chance
MANY = 2  # real patients with the same sequence: it tells of nobody
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


def patient_trials(tables: Tables, _: np.random.Generator) -> list[Trial]:
    """rate and control: shares of training and holdout patients with a synthetic row that is the
    same in all columns. Tested against the holdout and against coincidence.
    """
    train, holdout, synthetic = row_hashes(tables)
    trial = of_patients(
        "exact copies of patients",
        have_copies(train, synthetic),
        have_copies(holdout, synthetic),
        shows=SHOWS_ROWS,
        cannot_show=CANNOT_SHOW,
    )
    return [beside_chance(trial, train, synthetic)]


def row_hashes(tables: Tables) -> list[pl.Series]:
    """Of the rows of training, holdout and synthetic table, all columns."""
    some = (tables.train, tables.holdout, tables.synthetic)
    return [hashes(rows) for rows in scaled(some, tables.synthetic)]


def sequence_trials(tables: Tables, _: np.random.Generator) -> list[Trial]:
    """Two trials, exact and near copies of (type, code, day) sequences; none for a table.

    Left out are sequences on fewer than MIN_DATES distinct days, and those of MANY real patients.
    Days count from each patient's day 0. A near copy has the same types and codes in the same
    order, each within NEAR_DAYS.
    """
    if any(log.events is None for log in tables.logs):
        return []
    train, holdout, synthetic = (
        [one for one in _sequences(log) if len(set(one[1])) >= MIN_DATES] for log in tables.logs
    )
    counts = Counter([*train, *holdout])
    targets, controls = ([one for one in log if counts[one] < MANY] for log in (train, holdout))
    every = set(synthetic)
    same = [np.array([one in every for one in people], bool) for people in (targets, controls)]
    exact, near = (
        of_patients(attack, *success, shows=SHOWS_DATES, cannot_show=CANNOT_SHOW)
        for attack, success in (
            ("exact copies of date sequences", same),
            (
                f"date sequences within {NEAR_DAYS} days",
                [_near(people, synthetic) for people in (targets, controls)],
            ),
        )
    )
    texts = (pl.Series(map(str, log), dtype=pl.String) for log in (train, synthetic))
    return [beside_chance(exact, *texts), near]


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
