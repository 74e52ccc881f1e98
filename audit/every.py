"""All checks, in the order in which an audit performs them: the quick ones of each family first."""

from __future__ import annotations

from audit import (
    attack,
    borders,
    canaries,
    chain_heads,
    cohorts,
    decomposable,
    frozen_runs,
    mechanisms,
    neighbours,
    openings,
    populations,
    sampler,
    secrets,
    stability,
    stability_registry,
    storm,
)
from audit.findings import Check

CHECKS: tuple[Check, ...] = (
    *sampler.CHECKS,
    *mechanisms.CHECKS,
    *neighbours.CHECKS,
    *canaries.CHECKS,
    *secrets.CHECKS,
    *stability.CHECKS,
    *stability_registry.CHECKS,
    *decomposable.CHECKS,
    *borders.CHECKS,
    *cohorts.CHECKS,
    *populations.CHECKS,
    *openings.CHECKS,
    *frozen_runs.CHECKS,
    *chain_heads.CHECKS,
    *attack.CHECKS,
    *storm.CHECKS,
)
