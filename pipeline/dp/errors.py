"""What this library raises where it is asked for what cannot be."""

from __future__ import annotations


class MechanismError(ValueError):
    """An impossible mechanism, event, bound or store of measurements.

    The message names declared settings and never anything that was computed from rows.
    """
