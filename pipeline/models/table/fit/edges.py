"""Edges between columns: what two strongly dependent columns have in common beyond the latent
codes. Post-processing: no row is read.

Given a code, the mixture draws columns independently, which blurs a narrow diagonal: six monthly
bills, a tumour's size and stage. An edge ties a column (the child) to one drawn before it (the
parent): the child's chances under a code are multiplied by ratio[parent's group], so that the two
have their measured joint distribution. Each child has one parent at most, so given a code the
columns are a forest and all of its sums are exact (message passing, Pearl 1988). Mixtures of trees:
Meila and Jordan 2000, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.lines import groups_by_value
from pipeline.models.table.fit.denoise import Targets
from pipeline.models.table.measure.measure import Measured
from pipeline.models.table.measure.shrink import shrunk_residual

_ROUNDS = 50
# times the codes' word that a cell may become: far from the diagonal what looks like more is noise
_MOST = 4.0
_MISFIT = 0.05  # by which a pair's mean product may miss that of the copula with its coarse groups
_COARSE = 0.2  # variance of a column's normal scores below which its groups tell no correlation
_STRONG = 0.5  # correlation of normal scores from which on codes blur a pair
_CLEAR = 4.0  # standard deviations of its noise that a correlation must have


@dataclass(frozen=True, eq=False)
class Edge:
    """ratio: float32 [groups parent, groups child], above 0. correlation: of the two columns'
    normal scores, for positions inside bins.
    """

    parent: str
    child: str
    ratio: np.ndarray
    correlation: float

    def described(self) -> dict[str, Any]:
        """All but the ratio, for JSON."""
        return {"parent": self.parent, "child": self.child, "correlation": self.correlation}


def fit_edges(
    measured: Measured,
    wanted: Targets,
    table: Mapping[str, np.ndarray],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    children: Collection[str],
) -> tuple[Edge, ...]:
    """At most one edge into each of `children`, from an earlier numeric column. table[name]: float
    [codes, groups], codes weigh the same.
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
    made = []
    for place, child in enumerate(names):
        if child not in children:
            continue
        told = {
            parent: _correlation(measured, wanted, (parent, child), orders)
            for parent in names[:place]
        }
        clear = [
            parent
            for parent, found in told.items()
            if abs(found.correlation) > max(_STRONG, _CLEAR * found.noise)
        ]
        if not clear:
            continue
        parent = max(clear, key=lambda name: abs(told[name].correlation))
        target = _target(
            measured,
            wanted,
            (parent, child),
            np.asarray(q[parent].T @ q[child] / len(q[child])),
            orders,
            told[parent],
        )
        ratio = _ratio(joint[parent], q[child], target)
        made.append(Edge(parent, child, ratio.astype(np.float32), told[parent].correlation))
        normaliser = np.maximum(q[child] @ ratio.T, 1e-300)
        joint[child] = q[child] * ((joint[parent] / normaliser) @ ratio)
    return tuple(made)


@dataclass(frozen=True)
class _Told:
    """What the looks at a pair say: correlation of normal scores, its noise (standard deviation),
    mean product of the fine groups' scores.
    """

    correlation: float
    noise: float
    mean_product: float


def _correlation(
    measured: Measured, wanted: Targets, pair: tuple[str, str], orders: Mapping[str, np.ndarray]
) -> _Told:
    """From the coarse and the fine look by inverse variance. orders[name]: groups by value.

    The coarse look tells about fine groups through the normal copula (Sklar 1959) that has its mean
    product, and only as well as that fits.
    """
    fine = [_ordered(wanted.margins[name], orders[name], None) for name in pair]
    rough = [_ordered(wanted.margins[name], orders[name], measured.merged[name]) for name in pair]
    if min(_spread(shares) for _, shares in (*fine, *rough)) < _COARSE:
        return _Told(0.0, math.inf, 0.0)  # nearly all patients stand in one group
    mean, noise, product = _mean_product(
        measured.coarse[pair], measured.sigmas[f"coarse/{pair[0]}/{pair[1]}"], rough
    )
    means = [_copula_mean(fine, _solved(mean, rough, product))]
    variances = [noise**2 + _MISFIT**2]
    product = np.outer(_scores(fine[0][1]), _scores(fine[1][1]))
    if pair in measured.pairs:
        mean, noise, _ = _mean_product(measured.pairs[pair], measured.pair_sigmas[pair], fine)
        means.append(mean)
        variances.append(noise**2)
    weights = 1 / np.array(variances)
    mean = float(weights @ np.array(means) / weights.sum())
    return _Told(_solved(mean, fine, product), float(weights.sum() ** -0.5), mean)


def _spread(share: np.ndarray) -> float:
    """Variance of the groups' normal scores: 1 for infinitely many groups, 0 for one."""
    return float((share * _scores(share) ** 2).sum() / max(float(share.sum()), 1e-12))


Side = tuple[np.ndarray, np.ndarray]  # groups by value, their shares


def _mean_product(
    noisy: np.ndarray, sigma: float, sides: Sequence[Side]
) -> tuple[float, float, np.ndarray]:
    """(mean product of normal scores over rows that miss neither, standard deviation of its noise,
    the products).
    """
    (left, rows), (right, columns) = sides
    product = np.outer(_scores(rows), _scores(columns))
    inner = noisy[np.ix_(left, right)]
    known = max(float(inner.sum()), sigma)
    return (
        float((inner * product).sum()) / known,
        sigma * float((product**2).sum()) ** 0.5 / known,
        product,
    )


def _ordered(margin: np.ndarray, order: np.ndarray, merged: np.ndarray | None) -> Side:
    """Fine groups, or the coarse ones that they are merged into."""
    if merged is None:
        return order, margin[order]
    return _unique(merged[order]), np.bincount(merged[order], margin[order])[_unique(merged[order])]


def _unique(values: np.ndarray) -> np.ndarray:
    """Distinct values in the order in which they first stand."""
    return values[np.sort(np.unique(values, return_index=True)[1])]


def _solved(mean_product: float, sides: Sequence[Side], product: np.ndarray) -> float:
    """Correlation of the normal copula with this mean product of scores."""
    low, high = -0.99, 0.99
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if (copula(sides[0][1], sides[1][1], middle) * product).sum() < mean_product
            else (low, middle)
        )
    return (low + high) / 2


def _copula_mean(sides: Sequence[Side], correlation: float) -> float:
    return float(
        (
            copula(sides[0][1], sides[1][1], correlation)
            * np.outer(_scores(sides[0][1]), _scores(sides[1][1]))
        ).sum()
    )


def copula(rows: np.ndarray, columns: np.ndarray, correlation: float) -> np.ndarray:
    """Chances of each pair of groups under a normal copula, [rows, columns], by the midpoint rule
    over 200 quantiles of the rows' column.
    """
    quantiles = (np.arange(200) + 0.5) / 200
    ends = [
        np.concatenate([[0.0], np.cumsum(side) / max(float(side.sum()), 1e-12)]).clip(0, 1)
        for side in (rows, columns)
    ]
    given = ndtr(
        (ndtri(ends[1])[None] - correlation * ndtri(quantiles)[:, None])
        / np.sqrt(1 - correlation**2)
    )
    edges = np.arange(201) / 200
    overlap = np.clip(
        np.minimum(ends[0][1:, None], edges[None, 1:])
        - np.maximum(ends[0][:-1, None], edges[None, :-1]),
        0,
        None,
    )
    return np.asarray(overlap @ np.diff(given, axis=1))


def _scores(share: np.ndarray) -> np.ndarray:
    """Mean normal score of each group, given the groups' shares in order."""
    ends = np.concatenate([[0.0], np.cumsum(share) / max(float(share.sum()), 1e-12)]).clip(
        1e-12, 1 - 1e-12
    )
    density = np.exp(-(ndtri(ends) ** 2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray((density[:-1] - density[1:]) / np.maximum(np.diff(ends), 1e-12))


def _target(
    measured: Measured,
    wanted: Targets,
    pair: tuple[str, str],
    said: np.ndarray,
    orders: Mapping[str, np.ndarray],
    told: _Told,
) -> np.ndarray:
    """Joint that the edge shall have. `said`: the codes' word for it.

    The codes' word is tilted by exp(theta s s') until it has the measured mean product of scores;
    what a fine look adds is shrunk for known noise. What noise is left lies off the diagonal, so
    the tilt comes once more.
    """
    rows, columns = wanted.margins[pair[0]], wanted.margins[pair[1]]
    product = np.zeros(said.shape)
    inner = np.ix_(orders[pair[0]], orders[pair[1]])
    product[inner] = np.outer(_scores(rows[orders[pair[0]]]), _scores(columns[orders[pair[1]]]))
    mean = told.mean_product * float(said[inner].sum())
    prior = _tilted(_fitted(said + 1e-9, rows, columns), product, mean, rows, columns, 4.0)
    if pair not in measured.pairs:
        return prior
    noisy, sigma = measured.pairs[pair] / wanted.size, measured.pair_sigmas[pair] / wanted.size
    kept, _ = shrunk_residual(noisy - prior * noisy.sum(), sigma)
    seen = _fitted(np.clip(prior + kept, 1e-3 * prior, _MOST * prior), rows, columns)
    return _tilted(seen, product, mean, rows, columns, 1.0)


def _tilted(
    joint: np.ndarray,
    product: np.ndarray,
    wanted: float,
    rows: np.ndarray,
    columns: np.ndarray,
    most: float,
) -> np.ndarray:
    """The joint times exp(theta * product) with these margins and this mean product; theta by
    bisection.
    """
    low, high = -most, most
    tilted = joint
    for _ in range(16):
        middle = (low + high) / 2
        tilted = _fitted(joint * np.exp(np.clip(middle * product, -50, 50)), rows, columns)
        low, high = (middle, high) if (tilted * product).sum() < wanted else (low, middle)
    return tilted


def _fitted(joint: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Iterative proportional fitting to the margins."""
    for _ in range(20):
        joint = joint * (rows / np.maximum(joint.sum(1), 1e-300))[:, None]
        joint = joint * (columns / np.maximum(joint.sum(0), 1e-300))
    return joint


def _ratio(parent: np.ndarray, q: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Ratio under which parent and child have the target's conditional distribution. parent:
    P(code, group); q: the child's heads.
    """
    wanted = target / np.maximum(target.sum(1, keepdims=True), 1e-300)
    mass = np.maximum(parent.sum(0), 1e-300)
    ratio = np.ones(target.shape)
    for _ in range(_ROUNDS):
        normaliser = np.maximum(q @ ratio.T, 1e-300)
        got = ratio * ((parent / normaliser).T @ q) / mass[:, None]
        ratio *= np.clip((wanted + 1e-9) / (got + 1e-9), 0.1, 10)
        ratio /= ratio.mean(1, keepdims=True)
    return ratio
