"""From the scores of two neighbours to a finding: does what was measured contradict what is
claimed?
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dp_accounting as dpa
import numpy as np

from audit.findings import Finding
from pipeline.dp import accounting, audit
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.dp.tradeoff import tradeoff

DELTA = 1e-6
# confidence of a verdict: a check of a sound mechanism fails about once in a million runs
SURE = 1 - 1e-6
CONFIDENCE = 0.95  # confidence of the bounds that are shown

Array = np.ndarray[Any, Any]


def judge(what: str, scores: Callable[[bool], Array], claim: dpa.DpEvent) -> Finding:
    """Does not hold where the scores contradict the claim's trade-off, or bound epsilon above it
    with nothing assumed, at SURE.

    scores(present): [runs], one score of each run of the mechanism, with the patient in question or
    without. The figures bound epsilon at DELTA. A mechanism that keeps its claim fails with chance
    2e-6 at most.
    """
    with_patient, without_patient = scores(True), scores(False)
    curve, epsilon = tradeoff(claim), accounting.epsilon(claim, DELTA)
    counts = audit.hits(with_patient, without_patient, claim)
    figures = {
        "epsilon_claimed": epsilon,
        "epsilon_at_least": audit.family_epsilon(counts, claim, DELTA, CONFIDENCE),
        "epsilon_at_least_surely": audit.family_epsilon(counts, claim, DELTA, SURE),
        "epsilon_at_least_assuming_nothing": audit.free_epsilon(
            with_patient, without_patient, DELTA, CONFIDENCE
        ),
        "runs": float(len(with_patient)),
    }
    holds = (
        not audit.is_contradicted(counts, curve, SURE)
        and audit.free_epsilon(with_patient, without_patient, DELTA, SURE) <= epsilon
    )
    return Finding(
        holds=holds,
        figures=figures,
        message=(
            f"{what}: {len(with_patient):,} runs with and {len(without_patient):,} without the"
            f" patient show an epsilon of at least {figures['epsilon_at_least']:.2f} (95%; surely"
            f" {figures['epsilon_at_least_surely']:.2f}); claimed is {epsilon:.2f}"
        ),
    )


def loss(leaf: dpa.DpEvent, output: Array) -> Array:
    """The privacy loss of outputs, of `leaf` in units of the patient's own contribution: the best
    score of a test, [...].
    """
    if isinstance(leaf, DiscreteGaussianDpEvent):
        return (2 * output - 1) / (2 * leaf.sigma**2)
    assert isinstance(leaf, dpa.PoissonSampledDpEvent)
    q, exponent = leaf.sampling_probability, (2 * output - 1) / (2 * leaf.event.noise_multiplier**2)
    return np.logaddexp(np.log1p(-q), np.log(q) + exponent) if q < 1 else exponent
