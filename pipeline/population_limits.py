"""What any population may be declared with: its kinds, and the largest delta (privacy_rules.md 4,
15).
"""

from __future__ import annotations

KINDS = ("simulated", "public", "confidential")
# What of these kinds needs no person: a run may open the population and approve its own release.
SELF_APPROVING_KINDS = ("simulated", "public")
LARGEST_DELTA = 1e-6  # of a population of any size, for its whole life


def largest_delta(nominal_size: int) -> float:
    """The largest delta that a population of this declared size may have.

    >>> largest_delta(5_000), largest_delta(400_000)
    (1e-06, 2.5e-07)
    """
    return min(LARGEST_DELTA, 0.1 / nominal_size)
