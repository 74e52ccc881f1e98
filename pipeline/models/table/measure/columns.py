"""Rows as cells, and the counts of single columns: bins of numbers, groups of categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl

from pipeline.dp.marginals import one_way_counts
from pipeline.models.table.domain.bins import category_grouping, numeric_grouping
from pipeline.models.table.domain.encode import BRANCHING, Domain, encode
from pipeline.models.table.domain.known import KnownColumn, known_columns
from pipeline.models.table.measure.measurer import Codes, Measurer
from pipeline.models.table.measure.shrinkage import towards
from pipeline.models.table.plan.blocks import level_sizes
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.measurements import Columns, Estimate
from pipeline.models.table.values.symbols import Grouping
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID


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


def measure_columns(noisy: Measurer, cells: Codes, plan: TablePlan) -> Columns:
    """Trees and one-ways of the plan, each once; groups and estimates of each column, shrunk
    towards what is known of it. cells: of each row, int32 [rows] by column, from encode_rows.
    """
    tables = known_columns(plan.known, plan.domains())
    groupings: dict[str, Grouping] = {}
    estimates: dict[str, Estimate] = {}
    contradicted: list[str] = []
    for name, domain in plan.domains().items():
        if domain.is_numeric:
            groupings[name], estimate = _bins(noisy, cells[name], domain, plan)
            estimates[name], denied = _with_known(estimate, tables.get(name, ()), groupings[name])
        else:
            block = f"one/{name}"
            counts = noisy(block, partial(one_way_counts, cells[name], domain.size))
            whole = Estimate(counts.astype(float), np.full(domain.size, noisy.sigmas[block] ** 2))
            whole, denied = _with_known(whole, tables.get(name, ()), None)
            groupings[name] = category_grouping(domain, whole, plan.settings.max_groups)
            estimates[name] = whole.grouped(groupings[name])
        contradicted += denied
    return Columns(groupings, estimates, tuple(dict.fromkeys(contradicted)))


def _bins(
    noisy: Measurer, cells: np.ndarray, domain: Domain, plan: TablePlan
) -> tuple[Grouping, Estimate]:
    """Bins of a numeric column, from the counts of its tree level by level."""
    blocks = {level: f"tree/{domain.column.name}/{level}" for level in range(1, domain.depth + 1)}
    return numeric_grouping(
        domain,
        [
            noisy(block, partial(_level_counts, cells, domain, level))
            for level, block in blocks.items()
        ],
        [noisy.sigmas[block] for block in blocks.values()],
        plan.settings.bins,
        plan.settings.heaps,
    )


def _with_known(
    estimate: Estimate, tables: Sequence[KnownColumn], grouping: Grouping | None
) -> tuple[Estimate, list[str]]:
    """(the estimate shrunk towards each known table in turn, names of those that it denies).
    grouping: of numbers, whose estimate is of groups; None: of cells.
    """
    denied = []
    for table in tables:
        shares, covered = table.spread(estimate.counts, grouping)
        estimate, is_denied = towards(estimate, shares, covered, table.weight)
        if is_denied:
            denied.append(table.name)
    return estimate, denied


def _level_counts(cells: np.ndarray, domain: Domain, level: int) -> np.ndarray:
    """Rows per node of one level of the tree, then per atom and missing: int64, each row in one
    cell.
    """
    nodes, leaves = level_sizes(domain)[level - 1], BRANCHING ** (domain.depth - level)
    places = np.where(cells < domain.leaves, cells // leaves, cells - domain.leaves + nodes)
    return one_way_counts(places, nodes + domain.size - domain.leaves)


def groups_of_rows(columns: Columns, cells: Codes) -> Mapping[str, np.ndarray]:
    """Group of each row by column, int32 [rows]."""
    return {name: grouping.of_cell[cells[name]] for name, grouping in columns.groupings.items()}
