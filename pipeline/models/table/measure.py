"""The only place where the table model's counts read patients' rows: each block once, noise before anything else sees it.

Every patient is one row, and a row is one code per column: it adds 1 to one cell of each block (privacy_rules.md 8). No un-noised count
outlives the call that noises it; a count that the store holds already is not read from rows again (rule 12).
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
from pipeline.models.table.bins import Grouping, category_grouping, numeric_grouping
from pipeline.models.table.encode import BRANCHING, Domain, encode
from pipeline.models.table.plan import TablePlan, level_sizes

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Measured:
    """Noisy counts over groups, with their sigmas by name. Charged, so free to use."""

    groupings: dict[str, Grouping]
    one_ways: dict[str, np.ndarray]                     # int64 [cells] of categories, [groups] of numeric columns
    pairs: dict[tuple[str, str], np.ndarray]            # int64 [groups a, groups b]
    pivots: dict[tuple[str, str, str], np.ndarray]      # int64 [classes, groups a, groups b]
    sigmas: dict[str, float]


class _Reader:
    """Runs each mechanism of the plan once, and writes it on the tape."""

    def __init__(self, mechanisms: dict[str, NoisyCounts], store: MeasurementStore, tape: Tape, noise: NoiseStream) -> None:
        self._mechanisms, self._store, self._tape, self._noise = mechanisms, store, tape, noise

    def __call__(self, name: str, counts: Callable[[], np.ndarray]) -> np.ndarray:
        noisy = self._store.get_or_measure(self._mechanisms[name], counts, self._noise)
        self._tape.append(self._mechanisms[name].dp_event)
        return noisy


def encode_rows(patients: pl.DataFrame, domains: dict[str, Domain]) -> dict[str, np.ndarray]:
    """Cells of each patient, int32 [n] per column. Raises ValueError where a declared column is absent.

    Ingest hands in one row per patient. The guarantee rests on it, so it is made sure of here: of a second row under the same
    `patient_id` nothing is read, whatever it says, and nothing is said about it.
    """
    if "patient_id" in patients.columns:
        patients = patients.unique("patient_id", keep="first", maintain_order=True)
    absent = [name for name in domains if name not in patients.columns]
    if absent:
        raise ValueError(f"patients: no column {', '.join(absent)}; ingest should have made every modelled column")
    return {name: encode(cells, patients[name]) for name, cells in domains.items()}


def measure(real_codes: dict[str, np.ndarray], plan: TablePlan, scale: float, *, store: MeasurementStore, tape: Tape,
            noise: NoiseStream, progress: Progress) -> Measured:
    """All noisy counts of the plan. real_codes: cells of each row, from encode_rows."""
    domains, mechanisms = plan.domains(), plan.counts(scale)
    read = _Reader(mechanisms, store, tape, noise)
    sigmas = {name: mechanism.sigma for name, mechanism in mechanisms.items()}
    groupings: dict[str, Grouping] = {}
    one_ways: dict[str, np.ndarray] = {}
    for name, cells in domains.items():
        if cells.is_numeric:
            levels = [read(f"tree/{name}/{level}", partial(_level_counts, real_codes[name], cells, level))
                      for level in range(1, cells.depth + 1)]
            groupings[name] = numeric_grouping(cells, levels, [sigmas[f"tree/{name}/{lv}"] for lv in range(1, cells.depth + 1)],
                                               plan.settings.bins)
    progress("trees measured")
    for name, cells in domains.items():
        if cells.is_numeric:
            grouping = groupings[name]
            counts = read(f"one/{name}", partial(_group_counts, real_codes[name], grouping))
        else:
            counts = read(f"one/{name}", partial(one_way_counts, real_codes[name], cells.size))
            groupings[name] = category_grouping(cells, counts, sigmas[f"one/{name}"], plan.settings.max_groups)
        one_ways[name] = counts
    progress("one-ways measured")
    codes = {name: grouping.of_cell[real_codes[name]] for name, grouping in groupings.items()}
    pairs: dict[tuple[str, str], np.ndarray] = {}
    pivots: dict[tuple[str, str, str], np.ndarray] = {}
    size = {name: grouping.groups for name, grouping in groupings.items()}
    for name in mechanisms:
        kind = name.split("/", 1)[0]
        if kind == "pair":
            a, b = _columns(name, plan)
            pairs[a, b] = read(name, partial(pair_counts, codes[a], codes[b], size[a], size[b]))
        elif kind == "pivot":
            t, a, b = _columns(name, plan)
            pivots[t, a, b] = read(name, partial(_class_counts, codes, size, t, a, b))
    progress("pairs measured")
    return Measured(groupings, one_ways, pairs, pivots, sigmas)


def _columns(name: str, plan: TablePlan) -> list[str]:
    """Column names in a block's name; they may hold a slash themselves, so they are matched against the plan."""
    parts, names, found, current = name.split("/")[1:], {c.name for c in plan.columns}, [], ""
    for part in parts:
        current = f"{current}/{part}" if current else part
        if current in names:
            found.append(current)
            current = ""
    return found


def _level_counts(codes: np.ndarray, cells: Domain, level: int) -> np.ndarray:
    """Rows per node of one level of the tree, then per atom and missing: int64, each row in one cell."""
    nodes, below = level_sizes(cells)[level - 1], BRANCHING ** (cells.depth - level)
    places = np.where(codes < cells.leaves, codes // below, codes - cells.leaves + nodes)
    return one_way_counts(places, nodes + cells.size - cells.leaves)


def _group_counts(codes: np.ndarray, grouping: Grouping) -> np.ndarray:
    return one_way_counts(grouping.of_cell[codes], grouping.groups)


def _class_counts(codes: dict[str, np.ndarray], size: dict[str, int], target: str, a: str, b: str) -> np.ndarray:
    """Rows per class and pair, int64 [classes, groups a, groups b]: classes are disjoint, so a row hits one cell."""
    joint = codes[target].astype(np.int64) * size[a] + codes[a]
    return pair_counts(joint, codes[b], size[target] * size[a], size[b]).reshape(size[target], size[a], size[b])
