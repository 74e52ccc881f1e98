"""Procedures in theatre that are no resection, such as a transurethral one: the registry dates them
as first surgery where no resection follows (simulator.md 3.5).
"""

import numpy as np

from pipeline.simulator import draw
from pipeline.simulator.clinical import per_tumour
from pipeline.simulator.draw import Bools, Ints
from pipeline.simulator.parameters import load
from pipeline.simulator.values import DCO, NO_DAY, Clinical, Tumours


def procedure_days(
    rng: np.random.Generator, tumours: Tumours, clinical: Clinical, surgery: Bools
) -> Ints:
    """The day of a procedure in theatre that is no resection, of those who have none."""
    raw, n = load(), len(surgery)
    share = per_tumour(raw["procedures"], tumours) / 100
    some = ~surgery & (clinical.route != DCO) & (rng.random(n) < share)
    return np.where(some, tumours.day + draw.lognormal_of(rng, raw["procedure_days"], n), NO_DAY)
