"""All checks, in the order in which an audit performs them: the quick ones of each family first."""

from __future__ import annotations

from audit import (
    attack,
    canaries,
    chain_heads,
    cohorts,
    frozen_runs,
    many_rows,
    mechanisms,
    mixed_fits,
    mixed_gradients,
    neighbours,
    noise_bits,
    planned_sigmas,
    populations,
    reviewed_sizes,
    sampler,
    secrets,
    sizes,
    stability,
    stability_registry,
    storm,
    streams,
    surroundings,
)
from audit.findings import Check

CHECKS: tuple[Check, ...] = (
    *sampler.CHECKS,
    *streams.CHECKS,
    *noise_bits.CHECKS,
    *planned_sigmas.CHECKS,
    *surroundings.CHECKS,
    *mechanisms.CHECKS,
    *mixed_gradients.CHECKS,
    *mixed_fits.CHECKS,
    *neighbours.CHECKS,
    *canaries.CHECKS,
    *secrets.CHECKS,
    *stability.CHECKS,
    *stability_registry.CHECKS,
    *reviewed_sizes.CHECKS,
    *sizes.CHECKS,
    *many_rows.CHECKS,
    *cohorts.CHECKS,
    *populations.CHECKS,
    *frozen_runs.CHECKS,
    *chain_heads.CHECKS,
    *attack.CHECKS,
    *storm.CHECKS,
)
