"""How the squared noise budget is shared out over kinds of counts: from declared sizes alone
(privacy_rules.md 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline.models.table.plan.settings import TableSettings

# Shares where pairs are well readable, where they crowd (a coarse look first, then few pairs
# finely), where they drown (thin: honest marginals).
_ROOMY = {
    "bins": 0.08,
    "one_ways": 0.08,
    "coarse": 0.05,
    "again": 0.25,
    "again_part": 0.4,
    "target": 0.2,
    "pivot": 0.1,
}
_CROWDED = {
    "bins": 0.08,
    "one_ways": 0.08,
    "coarse": 0.25,
    "again": 0.35,
    "again_part": 0.2,
    "target": 0.12,
    "pivot": 0.05,
}
_THIN = {
    "bins": 0.25,
    "one_ways": 0.3,
    "coarse": 0.05,
    "again": 0.0,
    "again_part": 0.2,
    "target": 0.35,
    "pivot": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of what the critic leaves; the first fine look at every pair takes the rest. `again_part`: of
    all pairs.
    """

    bins: float
    one_ways: float
    coarse: float
    again: float
    again_part: float
    target: float
    pivot: float


def shares(settings: TableSettings, pairs: int, nominal_size: int) -> Shares:
    """Those that the settings give; the others by how many patients stand against one unit of noise
    in a cell of a pair's block.
    """
    readable = nominal_size * 0.24 * settings.epsilon**0.9 / math.sqrt(max(pairs, 1))
    crowding, thinness = _between(readable, 1000, 400), _between(readable, 300, 7)
    values: dict[str, Any] = {}
    for name, roomy in _ROOMY.items():
        setting = getattr(settings, name if name.endswith("_part") else f"{name}_share")
        by_size = roomy + crowding * (_CROWDED[name] - roomy)
        by_size += thinness * (_THIN[name] - by_size)
        values[name] = by_size if setting is None else setting
    return Shares(**values)


def _between(value: float, none: float, whole: float) -> float:
    """0 from `none` up, 1 from `whole` down, even in the logarithm."""
    return min(max(math.log(none / max(value, 1e-9)) / math.log(none / whole), 0.0), 1.0)
