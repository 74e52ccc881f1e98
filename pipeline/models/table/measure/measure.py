"""The only place where the table model's counts read patients' rows: each block once, noise before
anything else sees it.

Every patient is one row, and a row is one code per column: it adds 1 to one cell of each block
(privacy_rules.md 8). No un-noised count outlives the call that noises it; a count that the store
holds already is not read from rows again (privacy rule 12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from pipeline.dp.marginals import MeasurementStore, NoisyCounts, one_way_counts, pair_counts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.table.domain.bins import Grouping, category_grouping, numeric_grouping
from pipeline.models.table.domain.encode import BRANCHING, Domain, encode
from pipeline.models.table.domain.lines import groups_by_value
from pipeline.models.table.measure.choose import (
    Pair,
    by_class,
    closest_pairs,
    coarse_groups,
    coarse_map,
    strongest_pairs,
)
from pipeline.models.table.plan.plan import TablePlan, level_sizes
from pipeline.refusal import Refusal

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Pivot:
    """Noisy counts of two columns per class of a target, over coarse groups: `coarse[i][g]` is that
    of group g of column i.
    """

    target: str
    pair: Pair
    coarse: tuple[np.ndarray, np.ndarray]  # int64 [groups]
    counts: np.ndarray  # int64 [classes, coarse a, coarse b]
    sigma: float


@dataclass(frozen=True, eq=False)
class Measured:
    """Noisy counts over groups, with their sigmas by name. Charged, so free to use."""

    groupings: dict[str, Grouping]
    # int64 [cells] of categories, [groups] of numeric columns
    one_ways: dict[str, np.ndarray]
    merged: dict[str, np.ndarray]  # int64 [groups], coarse group of each group
    coarse: dict[Pair, np.ndarray]  # int64 [coarse a, coarse b], every pair
    # float64 [groups a, groups b], fine looks by inverse variance, where there are any
    pairs: dict[Pair, np.ndarray]
    pair_sigmas: dict[Pair, float]
    pivots: tuple[Pivot, ...]
    sigmas: dict[str, float]


class _Reader:
    """Runs each mechanism of the plan once, and writes it on the tape."""

    def __init__(
        self,
        mechanisms: dict[str, NoisyCounts],
        store: MeasurementStore,
        tape: Tape,
        noise: NoiseStream,
    ) -> None:
        self._mechanisms, self._store, self._tape, self._noise = mechanisms, store, tape, noise

    def __call__(self, name: str, counts: Callable[[], np.ndarray]) -> np.ndarray:
        noisy = self._store.get_or_measure(self._mechanisms[name], counts, self._noise)
        self._tape.append(self._mechanisms[name].dp_event)
        return noisy


def encode_rows(patients: pl.DataFrame, domains: dict[str, Domain]) -> dict[str, np.ndarray]:
    """Cells of each patient, int32 [n] per column. Raises ValueError where a declared column is
    absent.

    Ingest hands in one row per patient. The guarantee rests on it, so it is made sure of here: of a
    second row under the same `patient_id` nothing is read, whatever it says, and nothing is said
    about it.
    """
    if "patient_id" in patients.columns:
        patients = patients.unique("patient_id", keep="first", maintain_order=True)
    absent = [name for name in domains if name not in patients.columns]
    if absent:
        raise Refusal(
            f"patients: no column {', '.join(absent)}; ingest should have made every modelled"
            " column"
        )
    return {name: encode(cells, patients[name]) for name, cells in domains.items()}


def measure(
    real_codes: dict[str, np.ndarray],
    plan: TablePlan,
    scale: float,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
    progress: Progress,
) -> Measured:
    """All noisy counts of the plan. real_codes: cells of each row, from encode_rows."""
    domains, mechanisms = plan.domains(), plan.counts(scale)
    read = _Reader(mechanisms, store, tape, noise)
    sigmas = {name: mechanism.sigma for name, mechanism in mechanisms.items()}
    groupings: dict[str, Grouping] = {}
    one_ways: dict[str, np.ndarray] = {}
    for name, cells in domains.items():
        if cells.is_numeric:
            levels = [
                read(f"tree/{name}/{level}", partial(_level_counts, real_codes[name], cells, level))
                for level in range(1, cells.depth + 1)
            ]
            groupings[name] = numeric_grouping(
                cells,
                levels,
                [sigmas[f"tree/{name}/{lv}"] for lv in range(1, cells.depth + 1)],
                plan.settings.bins,
                plan.settings.heaps,
            )
    progress("trees measured")
    for name, cells in domains.items():
        if cells.is_numeric:
            grouping = groupings[name]
            counts = read(f"one/{name}", partial(_group_counts, real_codes[name], grouping))
        else:
            counts = read(f"one/{name}", partial(one_way_counts, real_codes[name], cells.size))
            groupings[name] = category_grouping(
                cells, counts, sigmas[f"one/{name}"], plan.settings.max_groups
            )
        one_ways[name] = counts
    progress("one-ways measured")
    codes = {name: grouping.of_cell[real_codes[name]] for name, grouping in groupings.items()}
    size = {name: grouping.groups for name, grouping in groupings.items()}
    names = list(domains)
    merged = {
        name: coarse_map(
            _of_groups(one_ways[name], groupings[name]),
            plan.settings.coarse_groups,
            _order(domains[name], groupings[name]),
        )
        for name in names
    }
    rough = {name: merged[name][codes[name]] for name in names}
    few = {name: int(merged[name].max()) + 1 for name in names}
    both = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    coarse = {
        (a, b): read(f"coarse/{a}/{b}", partial(pair_counts, rough[a], rough[b], few[a], few[b]))
        for a, b in both
    }
    progress("pairs measured coarsely")

    def look(name: str, a: str, b: str) -> _Look:
        return _Look(
            read(name, partial(pair_counts, codes[a], codes[b], size[a], size[b])), sigmas[name]
        )

    looks = {(a, b): [look(f"pair/{a}/{b}", a, b)] for a, b in both}
    progress("pairs measured")
    seen = [
        (coarse, {(a, b): sigmas[f"coarse/{a}/{b}"] for a, b in both}),
        (
            {pair: fine[0].counts for pair, fine in looks.items()},
            {pair: fine[0].sigma for pair, fine in looks.items()},
        ),
    ]
    for place, (a, b) in enumerate(
        strongest_pairs(seen, sum(name.startswith("again/") for name in mechanisms))
    ):
        looks[a, b].append(look(f"again/{place}", a, b))
    progress("the most dependent pairs measured again")
    for t, other in ((t, other) for t in plan.targets for other in names if other != t):
        a, b = sorted((t, other), key=names.index)
        looks[a, b].append(look(f"target/{t}/{other}", a, b))
    pairs, pair_sigmas = _combined(looks)
    pivots = []
    for t in plan.targets:
        n_pivots = sum(name.startswith(f"pivot/{t}/") for name in mechanisms)
        for place, (a, b) in enumerate(
            closest_pairs(t, pairs, pair_sigmas, plan.settings.pivot_columns) if n_pivots else ()
        ):
            alike = {
                name: coarse_groups(
                    *by_class(t, name, pairs, pair_sigmas), plan.settings.pivot_groups
                )
                for name in (a, b)
            }
            name = f"pivot/{t}/{place}"
            counts = read(
                name,
                partial(
                    _class_counts,
                    codes[t],
                    alike[a][codes[a]],
                    alike[b][codes[b]],
                    (size[t], int(alike[a].max()) + 1, int(alike[b].max()) + 1),
                ),
            )
            pivots.append(Pivot(t, (a, b), (alike[a], alike[b]), counts, sigmas[name]))
        progress(f"classes of {t} measured")
    return Measured(groupings, one_ways, merged, coarse, pairs, pair_sigmas, tuple(pivots), sigmas)


def _order(cells: Domain, grouping: Grouping) -> np.ndarray | None:
    """Groups by value without missing; None for a column without an order, or one whose rare
    categories were merged.
    """
    if cells.is_numeric:
        return groups_by_value(cells, grouping.symbols)
    if not cells.is_ordered or grouping.merged:
        return None
    return np.flatnonzero(~grouping.symbols.missing)


def _of_groups(noisy: np.ndarray, grouping: Grouping) -> np.ndarray:
    """Noisy counts of a column's groups from those of its block, which for categories are counts of
    cells.
    """
    if len(noisy) != len(grouping.of_cell):
        return noisy
    return np.bincount(grouping.of_cell, noisy.astype(float), minlength=grouping.groups)


@dataclass(frozen=True, eq=False)
class _Look:
    counts: np.ndarray
    sigma: float


def _combined(looks: dict[Pair, list[_Look]]) -> tuple[dict[Pair, np.ndarray], dict[Pair, float]]:
    """(counts, sigmas): all looks at each pair by inverse variance."""
    counts: dict[Pair, np.ndarray] = {}
    sigmas: dict[Pair, float] = {}
    for pair, seen in looks.items():
        precision = np.array([look.sigma**-2 for look in seen])
        counts[pair] = (
            np.tensordot(precision, np.stack([look.counts for look in seen]), 1) / precision.sum()
        )
        sigmas[pair] = float(precision.sum() ** -0.5)
    return counts, sigmas


def _level_counts(codes: np.ndarray, cells: Domain, level: int) -> np.ndarray:
    """Rows per node of one level of the tree, then per atom and missing: int64, each row in one
    cell.
    """
    nodes, below = level_sizes(cells)[level - 1], BRANCHING ** (cells.depth - level)
    places = np.where(codes < cells.leaves, codes // below, codes - cells.leaves + nodes)
    return one_way_counts(places, nodes + cells.size - cells.leaves)


def _group_counts(codes: np.ndarray, grouping: Grouping) -> np.ndarray:
    return one_way_counts(grouping.of_cell[codes], grouping.groups)


def _class_counts(
    target: np.ndarray, a: np.ndarray, b: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Rows per class and pair of coarse groups, int64 `shape`: classes are disjoint, so a row hits
    one cell.
    """
    return pair_counts(
        target.astype(np.int64) * shape[1] + a, b, shape[0] * shape[1], shape[2]
    ).reshape(shape)
