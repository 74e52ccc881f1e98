"""Membership by shadow models: a cheap private table model is fitted many times to simulated
patients, half of the times with one odd patient among them, and an attacker who knows the model
says from each synthetic table whether the patient was in.

    python -m bench.shadow_membership --fits 400 --epsilon 1
        the attack's AUC, and the least epsilon that its hits and false alarms prove (95%), which
        must not pass the model's own
    python -m bench.shadow_membership --fits 400 --epsilon inf
        the same without noise: a planted fault, which the attack must find

The model stands for any model that draws from noisy counts: each column, and each column with the
one before it, by Laplace noise, drawn as a chain. The shipped models are audited in pipeline.dp
(docs/privacy.md); this shows that the attack sees what there is to see. Invented patients only.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

PATIENTS = 500
CATEGORIES = (2, 4, 5, 6, 8)  # of each column
DRAWS = 2_000  # synthetic patients per fit
ODD = tuple(n - 1 for n in CATEGORIES)  # the patient who is in or not: no other is like that
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """auc: of the attack; epsilon_proved: lower bound from hits and false alarms."""

    auc: float
    epsilon_proved: float


def population(random: np.random.Generator) -> np.ndarray:
    """int64 [PATIENTS, columns]: each column leans on the one before; the last category of the
    first column is nobody's.
    """
    columns = [random.integers(0, CATEGORIES[0] - 1, PATIENTS)]
    for size in CATEGORIES[1:]:
        columns.append((columns[-1] + random.binomial(size - 2, 0.4, PATIENTS)) % (size - 1))
    return np.column_stack(columns)


def synthesize(rows: np.ndarray, epsilon: float, random: np.random.Generator) -> np.ndarray:
    """int64 [DRAWS, columns], epsilon-private for one row in or out: every row is in one cell of
    each of the chain's counts, which share epsilon equally. inf: no noise.
    """
    scale = len(CATEGORIES) / epsilon
    first = _shares(np.bincount(rows[:, 0], minlength=CATEGORIES[0]), scale, random)
    columns = [random.choice(CATEGORIES[0], DRAWS, p=first)]
    for place, size in enumerate(CATEGORIES[1:], start=1):
        width = CATEGORIES[place - 1]
        codes = rows[:, place - 1] * size + rows[:, place]
        counts = np.bincount(codes, minlength=width * size).reshape(width, size)
        table = np.array([_shares(line, scale, random) for line in counts])
        steps = table[columns[-1]].cumsum(axis=1)
        columns.append((random.random((DRAWS, 1)) > steps).sum(axis=1).clip(max=size - 1))
    return np.column_stack(columns)


def _shares(counts: np.ndarray, scale: float, random: np.random.Generator) -> np.ndarray:
    noisy = counts + (random.laplace(0, scale, counts.shape) if scale > 0 else 0)
    positive = np.maximum(noisy, 0) + 1e-9
    return positive / positive.sum()


def score(synthetic: np.ndarray) -> float:
    """How many synthetic patients are like the odd one, weighted by how much: runs of equal
    columns.
    """
    same = synthetic == np.array(ODD)
    return float((same[:, 1:] & same[:, :-1]).sum() + same[:, 0].sum())


def attack(fits: int, epsilon: float, seed: int) -> Outcome:
    """Half of the fits choose the limit, the other half count."""
    random = np.random.default_rng(seed)
    base = population(random)
    is_in = random.random(fits) < 0.5
    scores = np.array(
        [
            score(synthesize(np.vstack([base, [ODD]]) if one else base, epsilon, random))
            for one in is_in
        ]
    )
    half = fits // 2
    limits = np.unique(scores[:half])
    gaps = [
        (scores[:half][is_in[:half]] >= x).mean() - (scores[:half][~is_in[:half]] >= x).mean()
        for x in limits
    ]
    limit = limits[int(np.argmax(gaps))]
    hits, is_member = scores[half:] >= limit, is_in[half:]
    wins = scores[is_in][:, None] - scores[~is_in][None, :]
    return Outcome(
        auc=float((wins > 0).mean() + 0.5 * (wins == 0).mean()),
        epsilon_proved=epsilon_proved(
            int(hits[is_member].sum()),
            int(is_member.sum()),
            int(hits[~is_member].sum()),
            int((~is_member).sum()),
        ),
    )


def epsilon_proved(hits: int, n: int, alarms: int, n_out: int) -> float:
    """log of the lowest true-positive over the highest false-positive rate that Clopper's and
    Pearson's bounds allow, together at CONFIDENCE; at least 0. TPR <= e^epsilon FPR for any
    epsilon-private model (Kairouz and others 2015).
    """
    error = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(error, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - error, alarms + 1, n_out - alarms)) if alarms < n_out else 1.0
    return max(0.0, math.log(low / high)) if low > 0 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=400)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        outcome = attack(arguments.fits, arguments.epsilon, seed)
        sys.stdout.write(
            f"seed {seed}: AUC {outcome.auc:.3f}, at least epsilon {outcome.epsilon_proved:.2f}\n"
        )


if __name__ == "__main__":
    main()
