"""Edges between columns: what two strongly dependent columns have in common beyond the latent
codes. Post-processing: no row is read.

Given a code, the mixture draws columns independently, which blurs a narrow diagonal: six monthly
bills, a tumour's size and stage. An edge ties a column (the child) to one drawn before it (the
parent): the child's probabilities under a code are multiplied by ratio[parent's group], so that the
two have their measured joint distribution. Each child has one parent at most, so given a code the
columns are a forest and all of its sums are exact (message passing, Pearl 1988). Mixtures of trees:
Meila and Jordan 2000, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.models.table.domain.copula import (
    correlation_of,
    mean_product,
    normal_scores,
    score_variance,
)
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.known import rake
from pipeline.models.table.domain.quantiles import groups_by_value
from pipeline.models.table.measure.shrinkage import shrunk_residual
from pipeline.models.table.values.heads import Edge
from pipeline.models.table.values.measurements import Marginals, Measurements, NoisyPair
from pipeline.models.table.values.symbols import Pair, Relations, Symbols

_ROUNDS = 50
# factor on the codes' own joint that a cell may reach: far from the diagonal more is noise
_MAX_FACTOR = 4.0
_MIN_VARIANCE = 0.2  # of a column's normal scores: below it groups tell no correlation
_MIN_CORRELATION = 0.5  # of normal scores, from which on codes blur a pair
_MIN_DEVIATIONS = 4.0  # standard deviations of its noise that a correlation must have


def fit_edges(
    measurements: Measurements,
    marginals: Marginals,
    table: Mapping[str, np.ndarray],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    children: Collection[str],
    legal: Relations,
) -> tuple[Edge, ...]:
    """At most one edge into each of `children`, from an earlier numeric column.

    table[name]: float [codes, groups], each code's probabilities; codes weigh the same. legal:
    between groups, where declared orders forbid anything.
    """
    orders = {
        name: groups_by_value(domains[name], symbols[name])
        for name in table
        if domains[name].is_numeric
    }
    names = [name for name, order in orders.items() if len(order) > 2]
    q = {name: table[name].astype(np.float64) for name in names}
    # P(code, group), edges so far included
    joint = {name: heads / len(heads) for name, heads in q.items()}
    edges = []
    for place, child in enumerate(names):
        if child not in children:
            continue
        dependence = _dependences(measurements, marginals, names[:place], child, orders)
        parents = [parent for parent, estimate in dependence.items() if estimate.is_strong]
        if not parents:
            continue
        parent = max(parents, key=lambda name: abs(dependence[name].correlation))
        goal = _joint(
            measurements,
            marginals,
            (parent, child),
            np.asarray(q[parent].T @ q[child] / len(q[child])),
            orders,
            dependence[parent],
        )
        goal = _without_forbidden(goal, marginals, (parent, child), legal)
        ratio = _ratio(joint[parent], q[child], goal)
        edges.append(Edge(parent, child, ratio.astype(np.float32), dependence[parent].correlation))
        normaliser = np.maximum(q[child] @ ratio.T, 1e-300)
        joint[child] = q[child] * ((joint[parent] / normaliser) @ ratio)
    return tuple(edges)


def _dependences(
    measurements: Measurements,
    marginals: Marginals,
    parents: Sequence[str],
    child: str,
    orders: Mapping[str, np.ndarray],
) -> dict[str, _Dependence]:
    """Of the child and each earlier column that was counted with it."""
    return {
        parent: _dependence(
            measurements.pairs[parent, child],
            (marginals.margins[parent], marginals.margins[child]),
            (orders[parent], orders[child]),
        )
        for parent in parents
        if (parent, child) in measurements.pairs
    }


def _without_forbidden(
    joint: np.ndarray, marginals: Marginals, pair: Pair, legal: Relations
) -> np.ndarray:
    """The joint over legal cells, with the margins; as it is where none is forbidden."""
    if pair not in legal:
        return joint
    return rake(joint * legal[pair], marginals.margins[pair[0]], marginals.margins[pair[1]])


@dataclass(frozen=True)
class _Dependence:
    """What the noisy counts of a pair say."""

    correlation: float  # of normal scores
    noise: float  # standard deviation of the correlation's noise
    mean_product: float  # of the fine groups' normal scores

    @property
    def is_strong(self) -> bool:
        return abs(self.correlation) > max(_MIN_CORRELATION, _MIN_DEVIATIONS * self.noise)


_NOTHING = _Dependence(0.0, math.inf, 0.0)


def _dependence(
    pair: NoisyPair,
    margins: tuple[np.ndarray, np.ndarray],
    orders: tuple[np.ndarray, np.ndarray],
) -> _Dependence:
    """From the noisy counts of a pair. orders: groups of both by value."""
    sides = [(order, margin[order]) for order, margin in zip(orders, margins, strict=True)]
    if min(score_variance(shares) for _, shares in sides) < _MIN_VARIANCE:
        return _NOTHING  # nearly all patients stand in one group
    mean, noise, product = mean_product(pair.counts, pair.sigma, sides)
    return _Dependence(correlation_of(mean, sides, product), noise, mean)


def _joint(
    measurements: Measurements,
    marginals: Marginals,
    pair: Pair,
    of_codes: np.ndarray,
    orders: Mapping[str, np.ndarray],
    dependence: _Dependence,
) -> np.ndarray:
    """The joint distribution that the edge shall have, float64 [groups parent, groups child].

    of_codes: the joint that the latent codes give without an edge. It is tilted by exp(theta s s')
    until it has the measured mean product of scores; what fine counts add is shrunk for their
    noise. What noise is left lies off the diagonal, so the tilt comes once more.
    """
    rows, columns = marginals.margins[pair[0]], marginals.margins[pair[1]]
    product = np.zeros(of_codes.shape)
    inner = np.ix_(orders[pair[0]], orders[pair[1]])
    product[inner] = np.outer(
        normal_scores(rows[orders[pair[0]]]), normal_scores(columns[orders[pair[1]]])
    )
    mean = dependence.mean_product * float(of_codes[inner].sum())
    prior = _tilt(rake(of_codes + 1e-9, rows, columns), product, mean, rows, columns, 4.0)
    look = measurements.pairs[pair]
    noisy, sigma = look.counts / marginals.size, look.sigma / marginals.size
    residual, _ = shrunk_residual(noisy - prior * noisy.sum(), sigma)
    posterior = rake(np.clip(prior + residual, 1e-3 * prior, _MAX_FACTOR * prior), rows, columns)
    return _tilt(posterior, product, mean, rows, columns, 1.0)


def _tilt(
    joint: np.ndarray,
    product: np.ndarray,
    mean: float,
    rows: np.ndarray,
    columns: np.ndarray,
    limit: float,
) -> np.ndarray:
    """The joint times exp(theta * product) with these margins and this mean product; theta in
    [-limit, limit] by bisection.
    """
    low, high = -limit, limit
    tilt = joint
    for _ in range(16):
        theta = (low + high) / 2
        tilt = rake(joint * np.exp(np.clip(theta * product, -50, 50)), rows, columns)
        low, high = (theta, high) if (tilt * product).sum() < mean else (low, theta)
    return tilt


def _ratio(parent: np.ndarray, q: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Ratio under which parent and child have the joint's conditional distribution, float64
    [groups parent, groups child].

    parent: P(code, group of the parent). q: [codes, groups], the child's probabilities.
    """
    conditional = joint / np.maximum(joint.sum(1, keepdims=True), 1e-300)
    mass = np.maximum(parent.sum(0), 1e-300)
    ratio = np.ones(joint.shape)
    for _ in range(_ROUNDS):
        normaliser = np.maximum(q @ ratio.T, 1e-300)
        current = ratio * ((parent / normaliser).T @ q) / mass[:, None]
        ratio *= np.clip((conditional + 1e-9) / (current + 1e-9), 0.1, 10)
        ratio /= ratio.mean(1, keepdims=True)
    return ratio
