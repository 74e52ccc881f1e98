"""All checks, in the order in which an audit performs them: the quick ones of each family first."""
from __future__ import annotations

from pipeline.audit import adversary, cohorts, storm
from pipeline.audit.findings import Check

CHECKS: tuple[Check, ...] = (*cohorts.CHECKS, *adversary.CHECKS, *storm.CHECKS)
