"""From noisy counts to the marginals that the generator is fitted to: consistent margins, and pairs
with the noise shrunk out of them. Post-processing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from pipeline.models.table.domain.bins import on_simplex
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.hierarchy import Hierarchy, agree, joint_of
from pipeline.models.table.domain.known import KnownPair, group_levels, known_pairs, rake
from pipeline.models.table.fit.pair_noise import with_counts
from pipeline.models.table.measure.shrinkage import shrunk_residual
from pipeline.models.table.values.measurements import Marginals, Measurements, NoisyPair
from pipeline.models.table.values.symbols import Pair, Relations
from pipeline.schema.values import KnownTable

# parts of a known table's dependence among which the noisy counts choose
_PARTS = (1.0, 0.75, 0.5, 0.25, 0.0)
_CLEAR = 1.5
_EMPTY = 0.5  # patients below which a cell of which a table speaks is as good as empty
_CERTAIN = 0.0013  # share of all patients to which a cell of a hierarchy is known at best


def denoise(
    measurements: Measurements,
    domains: Mapping[str, Domain],
    legal: Relations,
    *,
    hierarchy: Hierarchy = MappingProxyType({}),
    tables: Sequence[KnownTable] = (),
    shrink: bool = True,
) -> Marginals:
    """Probabilities out of noisy counts, with the weight of each.

    legal: bool [groups a, groups b] for pairs of columns that declared implications relate; the
    other cells are known to be empty. hierarchy: of pairs in which one column says what the other
    is. tables: what is published. shrink: take noise out of pairs.
    """
    size, sums = _size(measurements), _margin_sums(measurements)
    margins, joints = _margins(sums, size, hierarchy)
    coarse = _coarse_joints(measurements, margins, size, shrink)
    by_pair = known_pairs(tables, list(margins))
    weights, rare = _weights_of(hierarchy, sums, size), {}
    independent, denied = 0, [*measurements.columns.contradicted]
    for key in dict.fromkeys([*measurements.pairs, *by_pair]):
        pair, of_pair = measurements.pairs.get(key), by_pair.get(key, ())
        expected = _expected(key, measurements, margins, coarse, legal)
        expected, published, names = _with_tables(
            of_pair, expected, key, measurements, domains, size
        )
        denied += names
        # shares of a table's `weight` patients, spread over the cells
        weight = max((table.weight for table in of_pair), default=0.0)
        joints[key], weights[key] = expected, weight * expected.size
        if pair is not None:
            joint, is_tied, trust = with_counts(expected, published, pair, size, shrink)
            joints[key] = _without_forbidden(joint, legal.get(key))
            weights[key] = (size / pair.sigma) ** 2 * trust
            independent += not is_tied
        rare[key] = (published > 0) & (joints[key] * size < _EMPTY)
    return Marginals(
        size=size,
        margins=margins,
        margin_weights={name: size**2 * precision for name, (_, precision) in sums.items()},
        pairs=joints | agree({k: joints[k] for k in by_pair}, weights, margins, hierarchy),
        pair_weights=weights,
        coarse=coarse,
        coarse_weights={k: (size / pair.sigma) ** 2 for k, pair in measurements.coarse.items()},
        coarse_groups=measurements.coarse_groups,
        rare=rare,
        independent=independent,
        contradicted=tuple(dict.fromkeys(denied)),
    )


def _weights_of(
    hierarchy: Hierarchy, sums: Mapping[str, tuple[np.ndarray, np.ndarray]], size: float
) -> dict[Pair, float | np.ndarray]:
    """What the cells of a hierarchy are worth: as the later column's counts are certain."""
    return {
        key: 1 / (within / np.sqrt(sums[key[1]][1]) / size).clip(min=_CERTAIN) ** 2
        for key, within in hierarchy.items()
    }


def _expected(
    key: Pair,
    measurements: Measurements,
    margins: Mapping[str, np.ndarray],
    coarse: Mapping[Pair, np.ndarray],
    legal: Relations,
) -> np.ndarray:
    """A pair before its own counts: by its coarse counts, where there are any."""
    of_both = (margins[key[0]], margins[key[1]])
    if key not in coarse:
        return expected_joint(of_both, legal.get(key))
    groups = (measurements.coarse_groups[key[0]], measurements.coarse_groups[key[1]])
    refined = _refined(coarse[key].clip(min=0.0), groups, of_both)
    # what was below 0 is gone, so that it sums to more
    return rake(refined, *of_both)


def expected_joint(margins: tuple[np.ndarray, np.ndarray], legal: np.ndarray | None) -> np.ndarray:
    """What two columns would be if nothing but the implications tied them, float64 [groups a,
    groups b], with these margins.
    """
    joint = np.outer(*margins)
    if legal is None or legal.all():
        return joint
    return rake(np.where(legal, joint + 1e-12, 0.0), *margins, rounds=30)


def _coarse_joints(
    measurements: Measurements, margins: Mapping[str, np.ndarray], size: float, shrink: bool
) -> dict[Pair, np.ndarray]:
    """Pairs over coarse groups, their noise shrunk out."""
    joints = {}
    for key, pair in measurements.coarse.items():
        one, other = (np.bincount(measurements.coarse_groups[name], margins[name]) for name in key)
        expected = np.outer(one, other)
        residual = pair.counts - size * expected
        if shrink:
            residual, _ = shrunk_residual(residual, pair.sigma)
        joints[key] = np.asarray(expected + residual / size)
    return joints


def _refined(
    coarse: np.ndarray,
    coarse_groups: tuple[np.ndarray, np.ndarray],
    margins: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """A coarse joint over fine groups, each coarse cell divided by its groups' margins: what a pair
    is expected to be without fine counts.
    """
    parts = [
        margin / np.maximum(np.bincount(groups, margin)[groups], 1e-12)
        for groups, margin in zip(coarse_groups, margins, strict=True)
    ]
    return coarse[np.ix_(*coarse_groups)] * np.outer(*parts)


def _with_tables(
    tables: Sequence[KnownPair],
    expected: np.ndarray,
    key: Pair,
    measurements: Measurements,
    domains: Mapping[str, Domain],
    size: float,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(joint as published, how many patients the table of each cell is worth, names of the tables
    that the counts deny). The first table comes last, so that it counts where others speak of the
    same values.
    """
    published, denied = np.zeros(expected.shape), []
    for table in reversed(tables):
        within = _within(table, key, measurements, domains)
        expected, part = _with_known(table, expected, within, measurements.pairs.get(key), size)
        published[_spoken_of(within)] = table.weight if part >= 0.5 else 0.0
        denied += [table.name] if part < 0.5 else []
    return expected, published, denied


def _with_known(
    table: KnownPair,
    expected: np.ndarray,
    within: tuple[np.ndarray, np.ndarray],
    pair: NoisyPair | None,
    size: float,
) -> tuple[np.ndarray, float]:
    """(joint, part): the published dependence, or the part of it that is nearer to the noisy counts
    beyond what noise would do: by `_CLEAR` standard deviations of the difference of two distances.
    """
    margins = (expected.sum(1), expected.sum(0))
    published = table.joint(expected, within, margins)
    if pair is None:
        return published, 1.0
    candidates = {
        part: rake(
            np.maximum(published, 1e-15) ** part
            * np.maximum(expected, 1e-15) ** (1 - part)
            * (expected > 0),
            *margins,
        )
        for part in _PARTS
    }
    errors = {
        part: float(((pair.counts - size * joint) ** 2).sum()) for part, joint in candidates.items()
    }
    doubts = {
        part: 2 * _CLEAR * pair.sigma * size * float(np.linalg.norm(joint - candidates[1.0]))
        for part, joint in candidates.items()
    }
    best = min(_PARTS, key=lambda part: errors[part] + doubts[part])
    return candidates[best], best


def _within(
    table: KnownPair, pair: Pair, measurements: Measurements, domains: Mapping[str, Domain]
) -> tuple[np.ndarray, np.ndarray]:
    one, other = (
        group_levels(domains[name], measurements.groupings[name].symbols, levels)
        for name, levels in zip(pair, table.levels, strict=True)
    )
    return one, other


def _spoken_of(within: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Cells of which a table speaks, bool [groups a, groups b]."""
    one, other = (of_levels.sum(0) >= 0.5 for of_levels in within)
    return np.outer(one, other)


def _margin_sums(measurements: Measurements) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(counts times precision, precision) of each column's groups: its own estimate and all pairs
    it is in.
    """
    sums = {
        name: (estimate.counts / estimate.variances, 1 / estimate.variances)
        for name, estimate in measurements.columns.estimates.items()
    }
    for (a, b), pair in measurements.pairs.items():
        for name, axis in ((a, 1), (b, 0)):
            precision = 1 / (pair.counts.shape[axis] * pair.sigma**2)
            count, total = sums[name]
            sums[name] = (count + pair.counts.sum(axis) * precision, total + precision)
    return sums


def _margins(
    sums: Mapping[str, tuple[np.ndarray, np.ndarray]], size: float, hierarchy: Hierarchy
) -> tuple[dict[str, np.ndarray], dict[Pair, np.ndarray]]:
    """(shares of each column's groups, at least 0, with sum 1; joints of a hierarchy). Where one
    column says what another is, both are from the counts of both.
    """
    estimates = {
        name: (count / precision, 1 / precision) for name, (count, precision) in sums.items()
    }
    margins = {name: on_simplex(counts, size) / size for name, (counts, _) in estimates.items()}
    joints = {}
    for (a, b), within in hierarchy.items():
        joint = joint_of(within, estimates[b], estimates[a]).clip(min=0.0)
        joints[a, b] = joint / joint.sum()
        margins[a], margins[b] = joints[a, b].sum(1), joints[a, b].sum(0)
    return margins, joints


def _size(measurements: Measurements) -> float:
    """How many patients, from the sums of all blocks, by inverse variance; at least 1."""
    estimates = measurements.columns.estimates.values()
    totals = [(float(e.counts.sum()), float(e.variances.sum())) for e in estimates]
    totals += [
        (float(pair.counts.sum()), pair.counts.size * pair.sigma**2)
        for pair in measurements.pairs.values()
    ]
    precision = sum(1 / variance for _, variance in totals)
    return max(sum(total / variance for total, variance in totals) / precision, 1.0)


def _without_forbidden(joint: np.ndarray, legal: np.ndarray | None) -> np.ndarray:
    """Forbidden cells emptied, rows and columns kept.

    Where nothing is forbidden the joint stays as it is, small negative cells too: clipping them
    would bias the fit.
    """
    if legal is None or legal.all():
        return joint
    rows, columns = np.maximum(joint.sum(1), 0.0), np.maximum(joint.sum(0), 0.0)
    cells = np.where(legal, np.maximum(joint, 0.0) + 1e-3 * np.outer(rows, columns), 0.0)
    return rake(cells, rows, columns, rounds=50)
