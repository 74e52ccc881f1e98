"""Whether two tables share more equal rows than chance would have it, without a control table.

A holdout alone cannot show copies of few patients: of 45 patients drawn from 4,500 in training and
500 held out, all are from training once in 115 times. But how often a real and a synthetic row may
agree by chance follows from how often real rows agree with each other, and synthetic ones.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import binom, chi2

from pipeline.evaluation.attacks.trials import Trial

ODDS = 2.0  # twins on both tables, to twins within one, that are put down to chance
TAIL = 0.0125  # of each of two Poisson limits


def hashes(rows: np.ndarray) -> pl.Series:
    """Of each row of [n, columns]; equal rows, and in practice no others, have the same."""
    if rows.shape[1] == 0:
        return pl.Series(np.zeros(len(rows), np.uint64))
    return pl.DataFrame(rows).hash_rows(seed=0)


def have_copies(rows: pl.Series, others: pl.Series) -> np.ndarray:
    """bool [rows]: whether the same is among the others."""
    return rows.is_in(others.unique().implode()).to_numpy()


def beside_chance(trial: Trial, real: pl.Series, synthetic: pl.Series) -> Trial:
    """The trial with coincidence as a second control: p by Bonferroni over both, and the lower end
    of the advantage from whichever control says more.
    """
    p, surplus = coincidence(real, synthetic)
    advantage = trial.advantage
    if surplus > 0:  # false for NaN
        low = surplus if math.isnan(advantage.low) else max(advantage.low, surplus)
        advantage = replace(advantage, low=min(low, advantage.value))
    return replace(trial, p=min(1.0, 2 * min(trial.p, p)), advantage=advantage)


def coincidence(real: pl.Series, synthetic: pl.Series) -> tuple[float, float]:
    """(p-value, lower 95% bound of the share of real values that are copied): of so many values
    that one real and one synthetic row have, and no others, if neither table knew of the other.

    Let n p real and m q synthetic rows be expected of a value. Two rows of it, of which one is
    real, have the chance n p m q; two of one table ((n p)^2 + (m q)^2) / 2, which is never less,
    whatever the model is. So of the values that occur twice, at most half fall on both tables
    (binomial, values are independent). ODDS allows for twice as many, as rows may not be drawn
    quite independently.
    """
    counts = [
        pl.DataFrame({"value": values}).group_by("value").len(name)
        for name, values in (("real", real), ("synthetic", synthetic))
    ]
    both = counts[0].join(counts[1], on="value", how="full", coalesce=True).fill_null(0)
    twice = both.filter(pl.col("real") + pl.col("synthetic") == 2)
    n_shared = int((twice["real"] == 1).sum())
    n_twins = len(twice) - n_shared
    p = float(binom.sf(n_shared - 1, len(twice), ODDS / (1 + ODDS)))
    fewest = float(chi2.ppf(TAIL, 2 * n_shared)) / 2 if n_shared else 0.0
    most = float(chi2.ppf(1 - TAIL, 2 * (n_twins + 1))) / 2
    return p, (fewest - ODDS * most) / max(1, len(real))
