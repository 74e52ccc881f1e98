"""All checks, in the order in which an audit performs them: the quick ones of each family first."""

from __future__ import annotations

from audit import (
    attack,
    canaries,
    chain_heads,
    cohorts,
    frozen_runs,
    mechanisms,
    neighbours,
    populations,
    sampler,
    secrets,
    stability,
    stability_registry,
    storm,
    transparency_log,
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
    *cohorts.CHECKS,
    *populations.CHECKS,
    *frozen_runs.CHECKS,
    *chain_heads.CHECKS,
    *transparency_log.CHECKS,
    *attack.CHECKS,
    *storm.CHECKS,
)
