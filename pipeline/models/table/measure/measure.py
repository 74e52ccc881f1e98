"""The only place where the table model's counts read patients' rows: each block once, noise before
anything else sees it.

Every patient is one row, and a row is one code per column: it adds 1 to one cell of each block
(privacy_rules.md 8). No un-noised count outlives the call that noises it; a count that the store
holds already is not read from rows again (privacy_rules.md 12).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import polars as pl

from pipeline.dp.marginals import MeasurementStore, one_way_counts, pair_counts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.table.domain.bins import category_grouping, numeric_grouping
from pipeline.models.table.domain.encode import BRANCHING, Domain, encode
from pipeline.models.table.domain.quantiles import groups_by_value
from pipeline.models.table.measure.measurer import Measurer
from pipeline.models.table.measure.selection import (
    by_class,
    closest_pairs,
    coarse_map,
    strongest_pairs,
    target_ordered_groups,
)
from pipeline.models.table.plan.blocks import level_sizes
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.measurements import Measurements, Pivot
from pipeline.models.table.values.symbols import Grouping, Pair
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID

Progress = Callable[[str], None]
Codes = Mapping[str, np.ndarray]  # by column, int32 [rows]: cell, group or coarse group of each row


def encode_rows(patients: pl.DataFrame, domains: dict[str, Domain]) -> dict[str, np.ndarray]:
    """Cells of each patient, int32 [n] per column. Raises Refusal where a column is absent.

    The guarantee rests on one row per patient. Should ingest hand in a second one, only the first
    counts; nothing is raised, because an error would depend on rows.
    """
    if ID in patients.columns:
        patients = patients.unique(ID, keep="first", maintain_order=True)
    absent = [name for name in domains if name not in patients.columns]
    if absent:
        raise Refusal(
            f"patients: no column {', '.join(absent)}; ingest should have made every modelled"
            " column"
        )
    return {name: encode(domain, patients[name]) for name, domain in domains.items()}


def measure(
    cells: Codes,
    plan: TablePlan,
    scale: float,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
    progress: Progress,
) -> Measurements:
    """All noisy counts of the plan, each once, in the plan's order: what is charged for scale.

    cells: of each row, int32 [rows] by column, from encode_rows. progress: told public facts only.
    """
    domains = plan.domains()
    noisy = Measurer(plan.counts(scale), store, tape, noise)
    groupings = _trees(noisy, cells, domains, plan)
    progress("trees measured")
    one_ways, groupings = _one_ways(noisy, cells, domains, groupings, plan)
    progress("one-ways measured")
    groups = {name: grouping.of_cell[cells[name]] for name, grouping in groupings.items()}
    coarse_groups = {
        name: coarse_map(
            _group_sums(one_ways[name], groupings[name]),
            plan.settings.coarse_groups,
            _order(domain, groupings[name]),
        )
        for name, domain in domains.items()
    }
    coarse = _coarse_pairs(noisy, groups, coarse_groups)
    progress("pairs measured coarsely")
    sizes = {name: groupings[name].groups for name in domains}
    pairs, pair_sigmas = _fine_pairs(noisy, groups, sizes, coarse, plan, progress)
    pivots: list[Pivot] = []
    for target in plan.targets:
        pivots += _pivots(noisy, groups, sizes, target, (pairs, pair_sigmas), plan)
        progress(f"classes of {target} measured")
    return Measurements(
        groupings,
        one_ways,
        coarse_groups,
        coarse,
        pairs,
        pair_sigmas,
        tuple(pivots),
        noisy.sigmas,
    )


def _trees(
    noisy: Measurer, cells: Codes, domains: Mapping[str, Domain], plan: TablePlan
) -> dict[str, Grouping]:
    """Bins of each numeric column, from the counts of its tree level by level."""
    groupings = {}
    for name, domain in domains.items():
        if not domain.is_numeric:
            continue
        levels = range(1, domain.depth + 1)
        groupings[name] = numeric_grouping(
            domain,
            [
                noisy(f"tree/{name}/{level}", partial(_level_counts, cells[name], domain, level))
                for level in levels
            ],
            [noisy.sigmas[f"tree/{name}/{level}"] for level in levels],
            plan.settings.bins,
            plan.settings.heaps,
        )
    return groupings


def _one_ways(
    noisy: Measurer,
    cells: Codes,
    domains: Mapping[str, Domain],
    bins: Mapping[str, Grouping],
    plan: TablePlan,
) -> tuple[dict[str, np.ndarray], dict[str, Grouping]]:
    """(counts of each column, its groups): a numeric column by bins, a categorical one by
    categories, of which the rare ones then share a group.
    """
    one_ways, groupings = {}, dict(bins)
    for name, domain in domains.items():
        if domain.is_numeric:
            one_ways[name] = noisy(f"one/{name}", partial(_group_counts, cells[name], bins[name]))
            continue
        one_ways[name] = noisy(f"one/{name}", partial(one_way_counts, cells[name], domain.size))
        groupings[name] = category_grouping(
            domain, one_ways[name], noisy.sigmas[f"one/{name}"], plan.settings.max_groups
        )
    return one_ways, groupings


def _coarse_pairs(
    noisy: Measurer, groups: Codes, coarse_groups: Mapping[str, np.ndarray]
) -> dict[Pair, np.ndarray]:
    """Counts of every pair of columns over coarse groups."""
    codes = {name: coarse[groups[name]] for name, coarse in coarse_groups.items()}
    sizes = {name: int(coarse.max()) + 1 for name, coarse in coarse_groups.items()}
    return {
        (a, b): noisy(
            f"coarse/{a}/{b}", partial(pair_counts, codes[a], codes[b], sizes[a], sizes[b])
        )
        for a, b in combinations(coarse_groups, 2)
    }


@dataclass(frozen=True, eq=False)
class _Noisy:
    """One measurement of a pair: counts [groups a, groups b] and the noise in each cell."""

    counts: np.ndarray
    sigma: float


def _fine_pairs(
    noisy: Measurer,
    groups: Codes,
    sizes: Mapping[str, int],
    coarse: Mapping[Pair, np.ndarray],
    plan: TablePlan,
    progress: Progress,
) -> tuple[dict[Pair, np.ndarray], dict[Pair, float]]:
    """(counts, sigmas) over all groups: every pair once, the most dependent ones again, and every
    column with each target again; together by inverse variance.
    """

    def pair(block: str, a: str, b: str) -> _Noisy:
        counts = partial(pair_counts, groups[a], groups[b], sizes[a], sizes[b])
        return _Noisy(noisy(block, counts), noisy.sigmas[block])

    names = list(sizes)
    fine = {(a, b): [pair(f"pair/{a}/{b}", a, b)] for a, b in combinations(names, 2)}
    progress("pairs measured")
    previous = [
        (coarse, {(a, b): noisy.sigmas[f"coarse/{a}/{b}"] for a, b in fine}),
        (
            {key: first.counts for key, [first] in fine.items()},
            {key: first.sigma for key, [first] in fine.items()},
        ),
    ]
    for place, (a, b) in enumerate(strongest_pairs(previous, noisy.blocks("again/"))):
        fine[a, b].append(pair(f"again/{place}", a, b))
    progress("the most dependent pairs measured again")
    for target in plan.targets:
        for other in names:
            if other != target:
                a, b = sorted((target, other), key=names.index)
                fine[a, b].append(pair(f"target/{target}/{other}", a, b))
    return _combine(fine)


def _combine(fine: Mapping[Pair, list[_Noisy]]) -> tuple[dict[Pair, np.ndarray], dict[Pair, float]]:
    """(counts, sigmas): all measurements of each pair by inverse variance."""
    counts: dict[Pair, np.ndarray] = {}
    sigmas: dict[Pair, float] = {}
    for pair, parts in fine.items():
        precision = np.array([part.sigma**-2 for part in parts])
        counts[pair] = (
            np.tensordot(precision, np.stack([part.counts for part in parts]), 1) / precision.sum()
        )
        sigmas[pair] = float(precision.sum() ** -0.5)
    return counts, sigmas


def _pivots(
    noisy: Measurer,
    groups: Codes,
    sizes: Mapping[str, int],
    target: str,
    pairs: tuple[Mapping[Pair, np.ndarray], Mapping[Pair, float]],
    plan: TablePlan,
) -> list[Pivot]:
    """Pairs of the columns closest to a target, coarsely, per class of it. pairs: noisy counts and
    their sigmas, which choose the columns and their coarse groups.
    """
    if not noisy.blocks(f"pivot/{target}/"):
        return []
    pivots = []
    for place, (a, b) in enumerate(closest_pairs(target, *pairs, plan.settings.pivot_columns)):
        of_a, of_b = (
            target_ordered_groups(*by_class(target, name, *pairs), plan.settings.pivot_groups)
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


def _order(domain: Domain, grouping: Grouping) -> np.ndarray | None:
    """Groups by value without missing; None for a column without an order, or one whose rare
    categories were merged.
    """
    if domain.is_numeric:
        return groups_by_value(domain, grouping.symbols)
    if not domain.is_ordered or grouping.n_merged:
        return None
    return np.flatnonzero(~grouping.symbols.missing)


def _group_sums(noisy: np.ndarray, grouping: Grouping) -> np.ndarray:
    """Noisy counts of a column's groups from those of its block, which for categories are counts of
    cells.
    """
    if len(noisy) != len(grouping.of_cell):
        return noisy
    return np.bincount(grouping.of_cell, noisy.astype(float), minlength=grouping.groups)


def _level_counts(cells: np.ndarray, domain: Domain, level: int) -> np.ndarray:
    """Rows per node of one level of the tree, then per atom and missing: int64, each row in one
    cell.
    """
    nodes, leaves = level_sizes(domain)[level - 1], BRANCHING ** (domain.depth - level)
    places = np.where(cells < domain.leaves, cells // leaves, cells - domain.leaves + nodes)
    return one_way_counts(places, nodes + domain.size - domain.leaves)


def _group_counts(cells: np.ndarray, grouping: Grouping) -> np.ndarray:
    return one_way_counts(grouping.of_cell[cells], grouping.groups)


def _class_counts(
    target: np.ndarray, a: np.ndarray, b: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Rows per class and pair of coarse groups, int64 `shape`: classes are disjoint, so a row hits
    one cell.
    """
    return pair_counts(
        target.astype(np.int64) * shape[1] + a, b, shape[0] * shape[1], shape[2]
    ).reshape(shape)
