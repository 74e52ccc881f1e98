"""Outcomes of attacks, their intervals, and what counts as found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom, norm

from pipeline.evaluation.findings import Estimate, Risk

FAMILY_ERROR = 0.01  # chance that any attack of a run on an independent table is called found
Z = float(norm.ppf(0.975))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attack before it is judged beside the others. `p`: chance of an advantage as large where
    the synthetic table says nothing of who was trained on; 1 where nothing could be tried.
    """

    attack: str
    rate: Estimate
    control: Estimate
    advantage: Estimate
    p: float
    shows: str
    cannot_show: str
    attempts: int


def wilson(successes: float, n: int) -> Estimate:
    """A share with Wilson's 95% interval (1927); `successes` may be a sum of chances."""
    if n == 0:
        return Estimate(value=math.nan)
    share = successes / n
    centre = (successes + Z * Z / 2) / (n + Z * Z)
    half = Z / (n + Z * Z) * math.sqrt(n * share * (1 - share) + Z * Z / 4)
    return Estimate(value=share, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def beyond(rate: Estimate, control: Estimate) -> Estimate:
    """(rate - control) / (1 - control), as Giomi and others (2023, section 3) define a risk, with
    Newcombe's interval of a difference (1998, method 10). Not cut off at 0, unlike Anonymeter's:
    an advantage below 0 is chance, and to hide it would make chance look like safety.
    """
    room = 1 - control.value
    if math.isnan(room) or math.isnan(rate.value) or room <= 0:
        return Estimate(value=math.nan)
    gap = rate.value - control.value
    low = math.hypot(rate.value - rate.low, control.high - control.value)
    high = math.hypot(rate.high - rate.value, control.value - control.low)
    return Estimate(
        value=gap / room,
        low=(gap - low) / room,
        high=(gap + high) / room,
        n=rate.n + control.n,
    )


def fisher(successes: int, n: int, control_successes: int, n_control: int) -> float:
    """One-sided p-value of Fisher's exact test: more successes among the n than by chance."""
    if n == 0 or n_control == 0:
        return 1.0
    total = successes + control_successes
    return float(hypergeom.sf(successes - 1, n + n_control, total, n))


def of_patients(
    attack: str,
    success: np.ndarray,
    control_success: np.ndarray,
    *,
    shows: str,
    cannot_show: str,
) -> Trial:
    """A trial whose attempts succeed or fail (bool arrays) one patient at a time: Wilson's and
    Newcombe's intervals and Fisher's test.
    """
    rate = wilson(int(success.sum()), len(success))
    control = wilson(int(control_success.sum()), len(control_success))
    return Trial(
        attack=attack,
        rate=rate,
        control=control,
        advantage=beyond(rate, control),
        p=fisher(
            int(success.sum()), len(success), int(control_success.sum()), len(control_success)
        ),
        shows=shows,
        cannot_show=cannot_show,
        attempts=len(success) + len(control_success),
    )


def risks(trials: Sequence[Trial]) -> list[Risk]:
    """Found is what Holm's procedure (1979) keeps at FAMILY_ERROR over all trials of the run, and
    whose advantage has a 95% interval above 0.
    """
    rejected = _holm([trial.p for trial in trials], FAMILY_ERROR)
    return [
        Risk(
            attack=trial.attack,
            rate=trial.rate,
            control=trial.control,
            advantage=trial.advantage,
            is_found=bool(reject and trial.advantage.low > 0),
            shows=trial.shows,
            cannot_show=trial.cannot_show,
            attempts=trial.attempts,
        )
        for trial, reject in zip(trials, rejected, strict=True)
    ]


def _holm(values: Sequence[float], error: float) -> np.ndarray:
    """Which hypotheses fall at this family-wise error. bool [len(values)]"""
    rejected = np.zeros(len(values), bool)
    for place, index in enumerate(np.argsort(values)):
        if values[index] > error / (len(values) - place):
            break
        rejected[index] = True
    return rejected
