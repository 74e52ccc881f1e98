"""Audits of single mechanisms, white box: counts, DP-SGD steps, their parts, and the loops that run
them.
"""

from __future__ import annotations

from audit import batches, counts, descent, descent_recurrent, loops, resumes
from audit.findings import Check

CHECKS: tuple[Check, ...] = (
    *counts.CHECKS,
    *descent.CHECKS,
    *descent_recurrent.CHECKS,
    *batches.CHECKS,
    *loops.CHECKS,
    *resumes.CHECKS,
)
