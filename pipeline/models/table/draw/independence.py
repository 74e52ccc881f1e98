"""Which columns a model draws independently of each other: what the noise, or the source, left no
trace of. Post-processing of the released model; no row is read.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from pipeline.models.table.draw.model import TableModel

_LEAST = 0.02  # largest distance of a pair's joint distribution from that of independent columns


def independent_pairs(model: TableModel) -> list[tuple[str, str]]:
    """Pairs of columns, in declared order, whose joint distribution is within `_LEAST` (total
    variation) of the product of their own, and that no rule, edge or target's head joins.
    """
    shares = {name: heads.astype(np.float64) for name, heads in model.table.items()}
    joined = {frozenset((edge.parent, edge.child)) for edge in model.edges}
    joined |= {frozenset((rule.given, rule.then)) for rule in model.plan.implications}
    joined |= {frozenset(pair) for pair in model.plan.orders}
    for head in model.targets:
        of_pairs = [name for pair in head.pairs for name in pair]
        joined |= {frozenset((head.target, name)) for name in (*head.ones, *of_pairs)}
    return [
        (first, second)
        for first, second in combinations(shares, 2)
        if frozenset((first, second)) not in joined
        and _distance(shares[first], shares[second]) < _LEAST
    ]


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    """Total variation between the joint distribution that the codes give and independence."""
    joint = first.T @ second / len(first)
    return float(0.5 * np.abs(joint - np.outer(first.mean(0), second.mean(0))).sum())
