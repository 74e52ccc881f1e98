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
SHOWN = 0.95  # confidence of the bounds that are shown

Array = np.ndarray[Any, Any]


def judged(what: str, scores: Callable[[bool], Array], claim: dpa.DpEvent) -> Finding:
    """Does not hold where the scores contradict the claim's trade-off, or bound epsilon above it
    with nothing assumed, at SURE.

    scores(present): [runs], one score of each run of the mechanism, with the patient in question or
    without. The figures bound epsilon at DELTA. A mechanism that keeps its claim fails with chance
    2e-6 at most.
    """
    with_her, without = scores(True), scores(False)
    curve, claimed = tradeoff(claim), accounting.epsilon(claim, DELTA)
    found = audit.hits(with_her, without, claim)
    figures = {
        "epsilon_claimed": claimed,
        "epsilon_at_least": audit.family_epsilon(found, claim, DELTA, SHOWN),
        "epsilon_at_least_surely": audit.family_epsilon(found, claim, DELTA, SURE),
        "epsilon_at_least_assuming_nothing": audit.free_epsilon(with_her, without, DELTA, SHOWN),
        "runs": float(len(with_her)),
    }
    holds = (
        not audit.is_contradicted(found, curve, SURE)
        and audit.free_epsilon(with_her, without, DELTA, SURE) <= claimed
    )
    return Finding(
        holds=holds,
        figures=figures,
        message=(
            f"{what}: {len(with_her):,} runs with and {len(without):,} without the patient show an"
            f" epsilon of at least {figures['epsilon_at_least']:.2f} (95%; surely"
            f" {figures['epsilon_at_least_surely']:.2f}); claimed is {claimed:.2f}"
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
