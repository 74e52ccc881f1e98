"""How the squared noise budget is shared out over kinds of counts, and how many pairs are looked
at: from declared sizes alone (privacy_rules.md 10).

Few people: single columns get nearly half, and the rest goes to few pairs, looked at strongly,
which a private choice picks. Many people: every pair, and the most dependent ones again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.models.table.plan.settings import TableSettings

# where every pair is well readable, where only few are, and where hardly any is
_ROOMY = {"choice": 0.0, "again": 0.4, "target": 0.2, "pivot": 0.1}
_FEW = {"choice": 0.05, "again": 0.0, "target": 0.12, "pivot": 0.05}
_THIN = {"choice": 0.05, "again": 0.0, "target": 0.25, "pivot": 0.0}
_ROOM = 2550.0  # readable patients from which every pair is looked at
_LEAST_CHOICE = 0.005  # share of a choice that the settings ask for where there is room for all
_NUMBER = 1.6  # a number's tree beside a category's counts


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What shares follow from: how many columns are numbers, how many have an order (numbers too),
    how many there are.
    """

    numbers: int
    ordered: int
    columns: int

    @property
    def pairs(self) -> int:
        return math.comb(self.columns, 2)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of what the critic leaves; looks at pairs take the rest. `coarse` and `again`: parts of that
    rest. `looks`: at how many pairs.
    """

    bins: float
    one_ways: float
    coarse: float
    choice: float
    again: float
    target: float
    pivot: float
    looks: int


def shares(settings: TableSettings, shape: Shape, nominal_size: int) -> Shares:
    """Those that the settings give; the others by how many patients stand against one unit of noise
    in a cell of a pair's block, were every pair looked at.
    """
    readable = nominal_size * 0.24 * settings.epsilon**0.9 / math.sqrt(max(shape.pairs, 1))
    fewness, thinness = _between(readable, _ROOM, 100), _between(readable, 100, 7)
    by_size = {
        name: (1 - thinness) * (roomy + fewness * (_FEW[name] - roomy)) + thinness * _THIN[name]
        for name, roomy in _ROOMY.items()
    }
    weight = _NUMBER * shape.numbers
    numbers = weight / max(weight + shape.columns - shape.numbers, 1)
    columns = 0.16 + _between(readable, 500, 64) * 0.38 - thinness * 0.04
    coarse = _coarse(readable) * math.comb(shape.ordered, 2) / max(shape.pairs, 1)
    by_size |= {
        "bins": columns * numbers,
        "one_ways": columns * (1 - numbers),
        "coarse": coarse,
    }
    part = settings.looks if settings.looks is not None else _part(readable, coarse)
    looks = min(math.ceil(part * shape.pairs), shape.pairs)
    if looks == shape.pairs:
        by_size["choice"] = 0.0
    else:
        by_size |= {"choice": max(by_size["choice"], _LEAST_CHOICE), "again": 0.0}
    settled = {name: getattr(settings, f"{name}_share") for name in by_size}
    values = {name: by_size[name] if settled[name] is None else settled[name] for name in by_size}
    # without a choice every pair is looked at
    return Shares(**values, looks=looks if values["choice"] > 0 else shape.pairs)


def _coarse(readable: float) -> float:
    """Most where pairs are neither well readable nor hopeless: numbers then hang together by many
    pairs, each of them weakly.
    """
    return 0.9 * (1 - _between(readable, 300, 60)) * (0.1 + 0.9 * _between(readable, 1000, 400))


def _part(readable: float, coarse: float) -> float:
    """Of all pairs: an eighth at least, all from `_ROOM` on; fewer where coarse counts tell of most
    pairs already.
    """
    return min(max((readable / _ROOM) ** 0.6 * (1 - coarse), 0.12), 1.0)


def _between(value: float, none: float, whole: float) -> float:
    """0 from `none` up, 1 from `whole` down, even in the logarithm."""
    return min(max(math.log(none / max(value, 1e-9)) / math.log(none / whole), 0.0), 1.0)
