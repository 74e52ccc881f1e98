"""Columns of which one says what the other is, such as a tumour's site and its group of sites: what
a public hierarchy makes of their margins and of the pair. Free: no row is read here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.models.table.values.symbols import Pair, Relations, Symbols

_DOUBT = 0.5  # standard deviation of a rare category's share of its group, relative
# (earlier, later) -> share of each group of the later column that lies in each group of the
# earlier, float64 [groups earlier, groups later]; its columns sum to 1
Hierarchy = dict[Pair, np.ndarray]


def hierarchy_of(relations: Relations, symbols: Mapping[str, Symbols]) -> Hierarchy:
    """Of the related pairs in which every value of the later column allows one of the earlier.

    Categories that noise hides share a group, in which their shares are known. Without a hierarchy
    such a group may stand beside any value that allows one of them: a site that hardly anybody has
    would be drawn for all whom its neighbours leave over.
    """
    hierarchy: Hierarchy = {}
    for (a, b), matrix in relations.items():
        if (matrix.sum(0) == 1).all():
            parents = symbols[a].group[matrix.argmax(0)]
            within = np.zeros((symbols[a].groups, symbols[b].groups))
            np.add.at(within, (parents, symbols[b].group), symbols[b].share)
            hierarchy[a, b] = within
    return hierarchy


def joint_of(
    within: np.ndarray,
    children: tuple[np.ndarray, np.ndarray],
    parents: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Counts of the pair, float64 [groups earlier, groups later], by generalised least squares from
    both columns' counts (Hay, Rastogi, Miklau, Suciu 2010, section 4, for parts of a group).

    within: of a Hierarchy. children, parents: (counts, variances) of the later and the earlier. The
    parts of a group that rare categories share are estimates: they may be off by `_DOUBT`.
    """
    counts, variances = children
    spread = variances * within
    parts = within * ((within > 0) & (within < 1 - 1e-9)) * counts.clip(min=0.0)
    doubts = (_DOUBT * parts.sum(1)) ** 2
    system = spread @ within.T + np.diag(parents[1] + doubts)
    pull = np.linalg.solve(system, parents[0] - within @ counts)
    posterior = counts + spread.T @ pull
    more = parts / np.maximum(parts.sum(1, keepdims=True), 1e-9) * (doubts * pull)[:, None]
    return np.asarray((within * posterior + more).clip(min=0.0))
