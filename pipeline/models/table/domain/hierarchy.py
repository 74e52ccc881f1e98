"""Columns of which one says what the other is, such as a tumour's site and its group of sites: what
a public hierarchy makes of their margins and of the pair. Free: no row is read here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.models.table.domain.known import rake
from pipeline.models.table.values.symbols import Pair, Relations, Symbols

_DOUBT = 0.5  # standard deviation of a rare category's share of its group, relative
# (earlier, later) -> share of each group of the later column that lies in each group of the
# earlier, float64 [groups earlier, groups later]; its columns sum to 1
Hierarchy = Mapping[Pair, np.ndarray]


def hierarchy_of(relations: Relations, symbols: Mapping[str, Symbols]) -> Hierarchy:
    """Of the related pairs in which every value of the later column allows one of the earlier.

    Categories that noise hides share a group, in which their shares are known. Without a hierarchy
    such a group may stand beside any value that allows one of them: a site that hardly anybody has
    would be drawn for all whom its neighbours leave over.
    """
    hierarchy: dict[Pair, np.ndarray] = {}
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
    both columns' counts (Hay, Rastogi, Miklau, Suciu 2010, section 4, for parts of a group). A
    count below 0 may come out.

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
    return np.asarray(within * posterior + more)


def agree(
    joints: Mapping[Pair, np.ndarray],
    weights: Mapping[Pair, float | np.ndarray],
    margins: Mapping[str, np.ndarray],
    hierarchy: Hierarchy,
) -> dict[Pair, np.ndarray]:
    """The joints, of which those in which two columns of a hierarchy tell of a third say the same:
    a stage's sum over the sites of a group is that of the group.

    joints: what is published of pairs, and what else is known of them. weights: 1 / variance of
    each cell; cells that are 0 stay so. Apart, the two would pull the generator to and fro, and it
    would end between them.
    """
    changed = dict(joints)
    for (a, b), within in hierarchy.items():
        for third in dict.fromkeys(name for pair in joints for name in pair):
            of_a, of_b = (
                (name, third) if (name, third) in joints else (third, name) for name in (a, b)
            )
            if third in (a, b) or of_a not in joints or of_b not in joints:
                continue
            sides = [
                _across(part, key, third).T
                for key in (of_b, of_a)
                for part in (changed[key], _variances(joints[key], weights[key]))
            ]
            cells = [joint_of(within, (x, v), (y, u)) for x, v, y, u in zip(*sides, strict=True)]
            for key, axis in ((of_a, 2), (of_b, 1)):
                joint = _across(np.stack(cells).sum(axis).T, key, third)
                legal = joint.clip(min=1e-9) * (joints[key] > 0)
                changed[key] = rake(legal, margins[key[0]], margins[key[1]])
    return changed


def _across(matrix: np.ndarray, pair: Pair, third: str) -> np.ndarray:
    """The matrix of a pair with the third column's groups across, or back again."""
    return matrix.T if pair[0] == third else matrix


def _variances(joint: np.ndarray, weights: float | np.ndarray) -> np.ndarray:
    variances = np.broadcast_to(1 / np.asarray(weights, float), joint.shape)
    return np.where(joint == 0, 1e-6 * variances.max(), variances)
