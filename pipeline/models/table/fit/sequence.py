"""The sequence of measurements: columns, related pairs, pairs that today's model finds wrong,
targets. What a pair is expected to be follows from noisy counts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from pipeline.models.table.domain.hierarchy import hierarchy_of
from pipeline.models.table.domain.legality import close, relations
from pipeline.models.table.domain.order import with_order
from pipeline.models.table.fit.denoise import denoise
from pipeline.models.table.fit.generator import fit_table
from pipeline.models.table.fit.loss import Spans, softmax_heads
from pipeline.models.table.measure.columns import groups_of_rows, measure_columns
from pipeline.models.table.measure.measurer import Measurer
from pipeline.models.table.measure.pairs import (
    Expectation,
    measure_chosen,
    measure_coarse,
    measure_related,
    measure_targets,
)
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.measurements import Marginals, Measurements
from pipeline.models.table.values.symbols import Pair, Relations, Symbols

Progress = Callable[[str], None]


def measurements_of(
    noisy: Measurer,
    cells: Mapping[str, np.ndarray],
    plan: TablePlan,
    device: torch.device,
    progress: Progress,
) -> Measurements:
    """All that is charged for counts and the choice, each once, in the plan's order. Progress tells
    public facts only.
    """
    columns = measure_columns(noisy, cells, plan)
    progress("columns measured")
    groups = groups_of_rows(columns, cells)
    sizes = {name: grouping.groups for name, grouping in columns.groupings.items()}
    coarse = measure_coarse(noisy, groups, columns, plan)
    measurements = Measurements(columns, measure_related(noisy, groups, sizes, plan), *coarse)
    progress("related pairs measured")
    expectation: Expectation = _nothing_expected
    marginals = marginals_of(plan, measurements)
    if plan.choice_epsilon is not None:
        expectation = _expectation(plan, measurements, marginals, device)
    pairs = measure_chosen(
        noisy, groups, sizes, plan, measurements.pairs, expectation, marginals.size
    )
    progress("chosen pairs measured")
    pairs, pivots = measure_targets(noisy, groups, sizes, plan, pairs)
    return replace(measurements, pairs=pairs, pivots=pivots)


def _nothing_expected(pair: Pair) -> np.ndarray:
    raise AssertionError(f"no choice is planned, but {pair} was asked for")


def _expectation(
    plan: TablePlan, measurements: Measurements, marginals: Marginals, device: torch.device
) -> Expectation:
    """Today's model of any pair: a short fit to what is measured so far."""
    spans, legal = spans_of(measurements), legal_groups(plan, symbols_of(measurements))
    logits = fit_table(
        marginals,
        spans,
        legal,
        plan.settings,
        steps=plan.settings.first_steps,
        device=device,
        progress=lambda line: None,
    )
    q = softmax_heads(logits, spans).cpu().numpy()

    def expectation(pair: Pair) -> np.ndarray:
        a, b = pair
        joint = q[:, spans.of(a)].T @ q[:, spans.of(b)] / len(q) * legal.get(pair, np.ones((1, 1)))
        return np.asarray(joint / max(float(joint.sum()), 1e-12))

    return expectation


def spans_of(measurements: Measurements) -> Spans:
    groupings = measurements.groupings
    return Spans(tuple(groupings), tuple(grouping.groups for grouping in groupings.values()))


def symbols_of(measurements: Measurements) -> dict[str, Symbols]:
    return {name: grouping.symbols for name, grouping in measurements.groupings.items()}


def marginals_of(plan: TablePlan, measurements: Measurements) -> Marginals:
    """The noisy counts as marginals, given what the implications allow and what is known."""
    symbols = symbols_of(measurements)
    return denoise(
        measurements,
        plan.domains(),
        legal_groups(plan, symbols),
        hierarchy=hierarchy_of(whole_relations(plan, symbols), symbols),
        tables=plan.known,
        shrink=plan.settings.shrink,
    )


def legal_groups(plan: TablePlan, symbols: Mapping[str, Symbols]) -> Relations:
    """Which groups may stand together, of all pairs in which something may not: what follows from
    two implications together too.
    """
    alive = {name: np.ones(len(part.group), bool) for name, part in symbols.items()}
    _, closure = close(list(symbols), alive, whole_relations(plan, symbols))
    return {
        (a, b): _between_groups(matrix, symbols[a], symbols[b])
        for (a, b), matrix in closure.items()
    }


def whole_relations(plan: TablePlan, symbols: Mapping[str, Symbols]) -> Relations:
    """What implications and declared orders leave, between whole columns."""
    domains = plan.domains()
    implied = relations(domains, symbols, plan.implications)
    return with_order(implied, domains, symbols, plan.orders)


def _between_groups(matrix: np.ndarray, a: Symbols, b: Symbols) -> np.ndarray:
    """Group pairs with at least one possible pair of symbols, bool [groups a, groups b]."""
    counts = np.zeros((a.groups, matrix.shape[1]))
    np.add.at(counts, a.group, matrix.astype(float))
    both = np.zeros((a.groups, b.groups))
    np.add.at(both.T, b.group, counts.T)
    return both > 0
