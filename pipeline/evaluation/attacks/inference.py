"""Inference: a patient's secret guessed from the synthetic rows that look most like the patient.

After Giomi and others (2023), section 5.3. Anonymeter 1.1.0 is not used: its test of a numeric
guess divides by the guess without its sign, so that every negative guess counts as right; its guess
is the first of equally near rows, and its search fails on missing numbers (see neighbours.py).
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.attacks.neighbours import TIE, distances
from pipeline.evaluation.attacks.rows import Rows, Tables, sample_of, scaled
from pipeline.evaluation.attacks.trials import Trial, of_patients

MAX_SECRETS = 4
TOLERANCE = 0.05  # of a number's range (1% to 99%): how far off a right guess may be
SHOWS = (
    "Who knows a patient's quasi-identifiers guesses this column right more often for patients who"
    " were trained on than for others: more than what is true of everybody like them."
)
CANNOT_SHOW = (
    "A right guess from what is true of everybody like the patient is no loss of privacy here, and"
    " this attacker asks the nearest rows only, not a model."
)


def trials(tables: Tables, random: np.random.Generator) -> list[Trial]:
    """One trial per secret: the declared targets, else the strata, else the last column."""
    targets, controls, synthetic = sample_of(tables, random)
    outcomes = []
    for secret in secrets(tables):
        success, control_success = (
            _right(people, synthetic, secret, _aids(tables, secret))
            for people in (targets, controls)
        )
        outcomes.append(
            of_patients(
                f"inference of {secret}",
                success,
                control_success,
                shows=SHOWS,
                cannot_show=CANNOT_SHOW,
            )
        )
    return outcomes


def secrets(tables: Tables) -> list[str]:
    """At most MAX_SECRETS columns."""
    schema, present = tables.schema, tables.train.names
    columns = [name for name in schema.patients if name in present]
    choice = [name for name in (*schema.targets, *schema.strata) if name in present]
    choice = list(dict.fromkeys(choice)) or columns[-1:]
    return [name for name in choice if name not in schema.quasi_identifiers][:MAX_SECRETS]


def _aids(tables: Tables, secret: str) -> list[str]:
    """What the attacker knows: quasi-identifiers, or all other static columns where none is
    declared.
    """
    static = [name for name in tables.schema.patients if name in tables.train.names]
    names = [name for name in tables.schema.quasi_identifiers if name in static] or static
    return [name for name in names if name != secret]


def _right(people: Rows, synthetic: Rows, secret: str, aids: list[str]) -> np.ndarray:
    """bool [people]. The guess is the commonest value among the nearest synthetic rows, of which
    several may be equally near.
    """
    if not aids:
        return np.zeros(0, bool)
    queries, table = scaled((people.only(aids), synthetic.only(aids)), synthetic.only(aids))
    known_values, truth = (
        scaled((rows.only([secret]),), synthetic.only([secret]))[0][:, 0]
        for rows in (synthetic, people)
    )
    is_category = synthetic.only(aids).is_category
    guesses = np.empty(len(people), np.float32)
    for block, total in distances(queries, table, is_category):
        nearest = total <= total.min(axis=1, keepdims=True) + TIE
        guesses[block] = [_commonest(known_values[row]) for row in nearest]
    within = 0.5 if synthetic.only([secret]).is_category[0] else TOLERANCE
    return np.abs(guesses - truth) <= within


def _commonest(values: np.ndarray) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])
