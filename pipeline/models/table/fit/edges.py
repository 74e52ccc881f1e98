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
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.models.table.domain.copula import (
    Side,
    copula_mean,
    correlation_of,
    mean_product,
    normal_scores,
    score_variance,
)
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.quantiles import groups_by_value
from pipeline.models.table.measure.shrinkage import shrunk_residual
from pipeline.models.table.values.heads import Edge
from pipeline.models.table.values.measurements import Marginals, Measurements
from pipeline.models.table.values.symbols import Pair, Relations, Symbols

_ROUNDS = 50
# factor on the codes' own joint that a cell may reach: far from the diagonal more is noise
_MAX_FACTOR = 4.0
_MISFIT = 0.05  # by which a pair's mean product may miss that of the copula with its coarse groups
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
        dependence = {
            parent: _dependence(measurements, marginals, (parent, child), orders)
            for parent in names[:place]
        }
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


def _without_forbidden(
    joint: np.ndarray, marginals: Marginals, pair: Pair, legal: Relations
) -> np.ndarray:
    """The joint over legal cells, with the margins; as it is where none is forbidden."""
    if pair not in legal:
        return joint
    return _rake(joint * legal[pair], *(marginals.margins[name] for name in pair))


@dataclass(frozen=True)
class _Dependence:
    """What the noisy counts of a pair say."""

    correlation: float  # of normal scores
    noise: float  # standard deviation of the correlation's noise
    mean_product: float  # of the fine groups' normal scores

    @property
    def is_strong(self) -> bool:
        return abs(self.correlation) > max(_MIN_CORRELATION, _MIN_DEVIATIONS * self.noise)


def _dependence(
    measurements: Measurements,
    marginals: Marginals,
    pair: Pair,
    orders: Mapping[str, np.ndarray],
) -> _Dependence:
    """From the coarse and the fine counts by inverse variance. orders[name]: groups by value.

    Coarse counts tell about fine groups through the normal copula (Sklar 1959) that has their mean
    product, and only as well as that fits.
    """
    fine = [_side(marginals.margins[name], orders[name], None) for name in pair]
    coarse = [
        _side(marginals.margins[name], orders[name], measurements.coarse_groups[name])
        for name in pair
    ]
    if min(score_variance(shares) for _, shares in (*fine, *coarse)) < _MIN_VARIANCE:
        return _Dependence(0.0, math.inf, 0.0)  # nearly all patients stand in one group
    mean, noise, product = mean_product(
        measurements.coarse[pair], measurements.sigmas[f"coarse/{pair[0]}/{pair[1]}"], coarse
    )
    means = [copula_mean(fine, correlation_of(mean, coarse, product))]
    variances = [noise**2 + _MISFIT**2]
    product = np.outer(normal_scores(fine[0][1]), normal_scores(fine[1][1]))
    if pair in measurements.pairs:
        mean, noise, _ = mean_product(
            measurements.pairs[pair], measurements.pair_sigmas[pair], fine
        )
        means.append(mean)
        variances.append(noise**2)
    weights = 1 / np.array(variances)
    mean = float(weights @ np.array(means) / weights.sum())
    return _Dependence(correlation_of(mean, fine, product), float(weights.sum() ** -0.5), mean)


def _side(margin: np.ndarray, order: np.ndarray, coarse: np.ndarray | None) -> Side:
    """Fine groups by value with their shares, or the coarse groups that they are merged into."""
    if coarse is None:
        return order, margin[order]
    groups = _in_order(coarse[order])
    return groups, np.bincount(coarse[order], margin[order])[groups]


def _in_order(values: np.ndarray) -> np.ndarray:
    """Distinct values in the order in which they first stand."""
    return values[np.sort(np.unique(values, return_index=True)[1])]


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
    prior = _tilt(_rake(of_codes + 1e-9, rows, columns), product, mean, rows, columns, 4.0)
    if pair not in measurements.pairs:
        return prior
    noisy = measurements.pairs[pair] / marginals.size
    sigma = measurements.pair_sigmas[pair] / marginals.size
    residual, _ = shrunk_residual(noisy - prior * noisy.sum(), sigma)
    posterior = _rake(np.clip(prior + residual, 1e-3 * prior, _MAX_FACTOR * prior), rows, columns)
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
        tilt = _rake(joint * np.exp(np.clip(theta * product, -50, 50)), rows, columns)
        low, high = (theta, high) if (tilt * product).sum() < mean else (low, theta)
    return tilt


def _rake(joint: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Iterative proportional fitting to the margins (Deming and Stephan 1940)."""
    for _ in range(20):
        joint = joint * (rows / np.maximum(joint.sum(1), 1e-300))[:, None]
        joint = joint * (columns / np.maximum(joint.sum(0), 1e-300))
    return joint


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
