"""All checks, in the order in which an audit performs them: the quick ones of each family first."""
from __future__ import annotations

from pipeline.audit import (
    adversary,
    canaries,
    cohorts,
    heads,
    mechanisms,
    neighbours,
    populations,
    sampler,
    secrets,
    stability,
    storm,
    walks,
)
from pipeline.audit.findings import Check

CHECKS: tuple[Check, ...] = (
    *sampler.CHECKS, *mechanisms.CHECKS, *neighbours.CHECKS, *canaries.CHECKS, *secrets.CHECKS, *stability.CHECKS, *cohorts.CHECKS,
    *populations.CHECKS, *walks.CHECKS, *heads.CHECKS, *adversary.CHECKS, *storm.CHECKS)
