"""Audits of single mechanisms, white box: counts, choices, DP-SGD steps, their parts, and the loops
that run them.
"""

from __future__ import annotations

from audit import batches, choices, counts, descent, descent_recurrent, loops, resumes
from audit.findings import Check

CHECKS: tuple[Check, ...] = (
    *counts.CHECKS,
    *choices.CHECKS,
    *descent.CHECKS,
    *descent_recurrent.CHECKS,
    *batches.CHECKS,
    *loops.CHECKS,
    *resumes.CHECKS,
)
