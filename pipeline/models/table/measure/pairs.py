"""Counts of pairs of columns: those that are related by declaration, those that a private choice
picks, and those with declared targets.

Every patient is one row, and a row is one code per column: it adds 1 to one cell of each block, and
moves each score of the choice by 1 (privacy_rules.md 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from pipeline.dp.marginals import pair_counts
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.quantiles import groups_by_value
from pipeline.models.table.measure.measurer import Codes, Measurer
from pipeline.models.table.measure.selection import (
    by_class,
    closest_pairs,
    coarse_map,
    strongest_pairs,
    target_ordered_groups,
)
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.measurements import Columns, NoisyPair, Pivot
from pipeline.models.table.values.symbols import Grouping, Pair

Pairs = dict[Pair, NoisyPair]
# of a pair, by today's model: probabilities [groups a, groups b]
Expectation = Callable[[Pair], np.ndarray]
_PENALTY = 0.5  # of the mean of what noise adds to a pair's counts: large pairs tell less per cell


def measure_related(
    noisy: Measurer, groups: Codes, sizes: Mapping[str, int], plan: TablePlan
) -> Pairs:
    """Every pair that the plan looks at by name, over all groups."""
    return {
        (a, b): _pair(noisy, f"pair/{a}/{b}", groups, sizes, (a, b)) for a, b in plan.named_pairs
    }


def measure_coarse(
    noisy: Measurer, groups: Codes, columns: Columns, plan: TablePlan
) -> tuple[Pairs, dict[str, np.ndarray]]:
    """(pairs of columns with an order, over coarse groups of neighbours; coarse group of each group
    by column). None where the plan has no coarse blocks.
    """
    if not noisy.blocks("coarse/"):
        return {}, {}
    coarse_groups = {
        name: coarse_map(
            columns.estimates[name].counts,
            plan.settings.coarse_groups,
            _order(domain, columns.groupings[name]),
        )
        for name, domain in plan.domains().items()
        if domain.is_ordered
    }
    codes = {name: coarse[groups[name]] for name, coarse in coarse_groups.items()}
    sizes = {name: int(coarse.max()) + 1 for name, coarse in coarse_groups.items()}
    pairs = {
        (a, b): _pair(noisy, f"coarse/{a}/{b}", codes, sizes, (a, b))
        for a, b in combinations(coarse_groups, 2)
    }
    return pairs, coarse_groups


def _order(domain: Domain, grouping: Grouping) -> np.ndarray | None:
    """Groups by value without missing; None for a column whose rare categories were merged."""
    if domain.is_numeric:
        return groups_by_value(domain, grouping.symbols)
    return None if grouping.n_merged else np.flatnonzero(~grouping.symbols.missing)


def measure_chosen(
    noisy: Measurer,
    groups: Codes,
    sizes: Mapping[str, int],
    plan: TablePlan,
    pairs: Pairs,
    expectation: Expectation,
    size: float,
) -> Pairs:
    """`pairs` with those that were chosen: by the plan's private choice, where it has one;
    otherwise the strongest of the noisy counts.

    expectation: of today's model, which knows noisy counts only. size: of the population, noisy.
    """
    looks = noisy.blocks("look/")
    if not looks:
        return pairs
    if plan.choice_epsilon is None:
        chosen = strongest_pairs(pairs, looks)
    else:
        candidates = list(combinations(sizes, 2))
        sigma = noisy.sigmas["look/0"]
        places = noisy.choose(partial(_scores, candidates, groups, sizes, expectation, size, sigma))
        chosen = [candidates[place] for place in places]
    pairs = dict(pairs)
    for place, key in enumerate(chosen):
        _add(pairs, key, _pair(noisy, f"look/{place}", groups, sizes, key))
    return pairs


def _scores(
    candidates: Sequence[Pair],
    groups: Codes,
    sizes: Mapping[str, int],
    expectation: Expectation,
    size: float,
    sigma: float,
) -> np.ndarray:
    """How many patients today's model has in the wrong cells of each pair, less a part of what the
    noise of a look would move: int64 [candidates] (McKenna, Mullins, Sheldon, Miklau 2022,
    arxiv.org/abs/2201.12677, algorithm 2).

    Expected counts are whole numbers, so a patient moves a score by exactly 1.
    """
    scores = np.empty(len(candidates), np.int64)
    for place, (a, b) in enumerate(candidates):
        counts = pair_counts(groups[a], groups[b], sizes[a], sizes[b])
        expected = np.rint(size * expectation((a, b))).astype(np.int64)
        penalty = round(_PENALTY * math.sqrt(2 / math.pi) * sigma * counts.size)
        scores[place] = int(np.abs(counts - expected).sum()) - penalty
    return scores


def measure_targets(
    noisy: Measurer, groups: Codes, sizes: Mapping[str, int], plan: TablePlan, pairs: Pairs
) -> tuple[Pairs, tuple[Pivot, ...]]:
    """(`pairs` with every column and each target, counts of pairs per class of a target)."""
    pairs = dict(pairs)
    names = list(sizes)
    for target in plan.targets:
        for other in names:
            if other != target:
                a, b = sorted((target, other), key=names.index)
                _add(pairs, (a, b), _pair(noisy, f"target/{target}/{other}", groups, sizes, (a, b)))
    pivots: list[Pivot] = []
    for target in plan.targets:
        pivots += _pivots(noisy, groups, sizes, target, pairs, plan)
    return pairs, tuple(pivots)


def _pair(
    noisy: Measurer, block: str, groups: Codes, sizes: Mapping[str, int], pair: Pair
) -> NoisyPair:
    a, b = pair
    counts = noisy(block, partial(pair_counts, groups[a], groups[b], sizes[a], sizes[b]))
    return NoisyPair(counts.astype(float), noisy.sigmas[block])


def _add(pairs: Pairs, key: Pair, pair: NoisyPair) -> None:
    pairs[key] = pairs[key].with_another(pair) if key in pairs else pair


def _pivots(
    noisy: Measurer,
    groups: Codes,
    sizes: Mapping[str, int],
    target: str,
    pairs: Pairs,
    plan: TablePlan,
) -> list[Pivot]:
    """Pairs of the columns closest to a target, coarsely, per class of it; noisy counts choose the
    columns and their coarse groups.
    """
    if not noisy.blocks(f"pivot/{target}/"):
        return []
    pivots = []
    for place, (a, b) in enumerate(closest_pairs(target, pairs, plan.settings.pivot_columns)):
        of_a, of_b = (
            target_ordered_groups(by_class(target, name, pairs), plan.settings.pivot_groups)
            for name in (a, b)
        )
        block = f"pivot/{target}/{place}"
        counts = partial(
            _class_counts,
            groups[target],
            of_a[groups[a]],
            of_b[groups[b]],
            (sizes[target], int(of_a.max()) + 1, int(of_b.max()) + 1),
        )
        pivots.append(
            Pivot(target, (a, b), (of_a, of_b), noisy(block, counts), noisy.sigmas[block])
        )
    return pivots


def _class_counts(
    target: np.ndarray, a: np.ndarray, b: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Rows per class and pair of coarse groups, int64 `shape`: classes are disjoint, so a row hits
    one cell.
    """
    return pair_counts(
        target.astype(np.int64) * shape[1] + a, b, shape[0] * shape[1], shape[2]
    ).reshape(shape)
