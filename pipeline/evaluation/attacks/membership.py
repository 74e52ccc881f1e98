"""Membership: whether a synthetic table is denser around the patients it was trained on.

After van Breugel, Sun, Qian and van der Schaar (2023), "Membership inference attacks against
synthetic data through overfitting detection" (DOMIAS): a patient's score is the density of the
synthetic table around the patient over the density of the population, so that patients who are
common anyway score low and copies of rare ones score high. The density of a table of many mixed
columns is taken from the distance to the nearest row (Gower), as kernel and flow estimates do not
hold up on fifty columns of codes. The population is the real patients, each without himself:
trained on or not, everybody is scored against the same sample, so that only the synthetic table
can tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import hypergeom, mannwhitneyu, rankdata

from pipeline.evaluation.attacks.coincidence import beside_chance, hashes, have_copies
from pipeline.evaluation.attacks.copies import row_hashes
from pipeline.evaluation.attacks.neighbours import nearest_distance
from pipeline.evaluation.attacks.rows import Tables, scaled, subsample
from pipeline.evaluation.attacks.trials import Trial, of_patients
from pipeline.evaluation.findings import Estimate

MAX_PATIENTS = 5_000  # of each table
MAX_REFERENCE = 10_000
MAX_SYNTHETIC = 20_000
# added to both distances: a thousandth of all columns, so that an exact copy of a common patient
# does not score like one of a rare patient
SOFT = 0.001
FALSE_ALARMS = 0.01
RESAMPLES = 300
NEARER = 10.0
SHOWS_AUC = (
    "Of a patient who was trained on and one who was not, the synthetic table is closer to the"
    " first more often than by chance: it has learnt its patients by heart."
)
SHOWS_TAIL = (
    "Some patients are so close to a synthetic row, and so far from other people, that an attacker"
    " may say they were trained on and is hardly ever wrong."
)
CANNOT_SHOW = (
    "A low figure speaks of an attacker who sees the table alone; one who fits the model many"
    " times, or plants a patient, sees more (bench.shadow_membership)."
)


def trials(tables: Tables, random: np.random.Generator) -> list[Trial]:
    """Three trials: all patients (AUC), at FALSE_ALARMS, and the most exposed."""
    members, others = scores(tables, random)
    train, _, synthetic = row_hashes(tables)
    exposed = _most_exposed(members, others)
    return [
        _all(members, others, random),
        _at_false_alarms(members, others, random),
        # copies have the highest scores of all: more of them than coincidence would have exposed
        # patients even where the holdout is too small to say so
        beside_chance(exposed, train, synthetic),
    ]


def scores(tables: Tables, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(training, holdout) patients' log of the distance to the nearest other real patient over that
    to the nearest synthetic row. At most MAX_PATIENTS of each.
    """
    train, holdout, synthetic = scaled(
        (tables.train, tables.holdout, tables.synthetic), tables.synthetic
    )
    pool = np.concatenate([train, holdout])
    is_category = tables.synthetic.is_category
    chosen = [
        subsample(len(train), MAX_PATIENTS, random),
        subsample(len(holdout), MAX_PATIENTS, random) + len(train),
    ]
    reference = subsample(len(pool), MAX_REFERENCE, random)
    place = np.full(len(pool), -1)
    place[reference] = np.arange(len(reference))
    some = synthetic[subsample(len(synthetic), MAX_SYNTHETIC, random)]
    copies = hashes(synthetic)
    parts = []
    for index in chosen:
        people = pool[index]
        far = nearest_distance(people, pool[reference], is_category, place[index])
        near = nearest_distance(people, some, is_category)
        # copies are looked for among all synthetic rows
        near[have_copies(hashes(people), copies)] = 0
        parts.append(np.log((far + SOFT) / (near + SOFT)))
    return parts[0], parts[1]


def _all(members: np.ndarray, others: np.ndarray, random: np.random.Generator) -> Trial:
    """rate: area under the curve; the control is .5 by definition; advantage: 2 AUC - 1."""
    value = _auc(members, others)
    low, high = _interval(_auc, members, others, random)
    n = len(members) + len(others)
    return Trial(
        attack="membership, all patients",
        rate=Estimate(value=value, low=low, high=high, n=n),
        control=Estimate(value=0.5, low=0.5, high=0.5, n=len(others)),
        advantage=Estimate(value=2 * value - 1, low=2 * low - 1, high=2 * high - 1, n=n),
        p=float(mannwhitneyu(members, others, alternative="greater").pvalue),
        shows=SHOWS_AUC,
        cannot_show=CANNOT_SHOW + " It weighs all patients alike: a few copies drown in it.",
        attempts=n,
    )


def _auc(members: np.ndarray, others: np.ndarray) -> float:
    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    return float((ranks.sum() / len(members) - (len(members) + 1) / 2) / len(others))


def _interval(
    figure: Callable[[np.ndarray, np.ndarray], float],
    members: np.ndarray,
    others: np.ndarray,
    random: np.random.Generator,
) -> tuple[float, float]:
    """95%, by bootstrap over both groups."""
    values = [
        figure(random.choice(members, len(members)), random.choice(others, len(others)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _threshold(others: np.ndarray) -> tuple[int, float]:
    """(k, the k-th largest score of patients who were not trained on): above it are at most
    FALSE_ALARMS of them.
    """
    k = math.floor(FALSE_ALARMS * len(others)) + 1
    return k, float(np.sort(others)[-k])


def _gap_at_false_alarms(members: np.ndarray, others: np.ndarray) -> float:
    _, limit = _threshold(others)
    return float((members > limit).mean() - (others > limit).mean())


def _at_false_alarms(members: np.ndarray, others: np.ndarray, random: np.random.Generator) -> Trial:
    """rate: share of trained patients above the limit (TPR), control: of others (FPR).

    The chance that m or more members pass the k-th largest of the others is a negative
    hypergeometric one, as the limit is one of their scores and not a number fixed before.
    """
    k, limit = _threshold(others)
    hits, alarms = members > limit, others > limit
    trial = of_patients(
        f"membership, {FALSE_ALARMS:.0%} false alarms",
        hits,
        alarms,
        shows=SHOWS_TAIL,
        cannot_show=CANNOT_SHOW,
    )
    low, high = _interval(_gap_at_false_alarms, members, others, random)
    drawn_above = int(hits.sum()) + k - 1
    chance = hypergeom.cdf(k - 1, len(members) + len(others), len(others), drawn_above)
    return Trial(
        attack=trial.attack,
        rate=trial.rate,
        control=trial.control,
        advantage=Estimate(
            value=trial.rate.value - trial.control.value,
            low=low,
            high=high,
            n=trial.advantage.n,
        ),
        p=float(chance) if hits.any() else 1.0,
        shows=trial.shows,
        cannot_show=trial.cannot_show,
        attempts=trial.attempts,
    )


def _most_exposed(members: np.ndarray, others: np.ndarray) -> Trial:
    """rate and control: shares who are NEARER times nearer to a synthetic row than to any other
    real patient. The limit is fixed beforehand: one that is chosen on scores costs more than it
    gains where few were copied.
    """
    limit = math.log(NEARER)
    return of_patients(
        "membership, the most exposed",
        members > limit,
        others > limit,
        shows=SHOWS_TAIL,
        cannot_show=CANNOT_SHOW,
    )
