"""Fitting: measure, denoise, fit the generator, refine it against the critic, correct implied
columns, tie edges, fit targets. In this order, each step once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.sampling import draw_categorical
from pipeline.models.table.domain.legality import relations
from pipeline.models.table.domain.order import with_order
from pipeline.models.table.draw.conditional_sampler import conditional_sampler
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.draw.sampler import Sampler
from pipeline.models.table.fit.critic import refine
from pipeline.models.table.fit.denoise import denoise
from pipeline.models.table.fit.edges import fit_edges
from pipeline.models.table.fit.generator import fit_table
from pipeline.models.table.fit.loss import Spans, softmax_heads
from pipeline.models.table.fit.network import distil
from pipeline.models.table.fit.raking import rake
from pipeline.models.table.fit.target import fit_head
from pipeline.models.table.measure.measure import encode_rows, measure
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.heads import Edge, TargetHead
from pipeline.models.table.values.measurements import Marginals, Measurements
from pipeline.models.table.values.symbols import Relations, Symbols

Progress = Callable[[str], None]
_DRAWS = 20_000  # of the generator, to fit the targets on


def fit(
    patients: pl.DataFrame,
    plan: TablePlan,
    scale: float,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
    checkpoint: Path,
    progress: Progress,
    device: torch.device | str = "cpu",
    checkpoint_steps: int = 50,
) -> TableModel:
    """The model of these rows, one per patient, private by the mechanisms of plan.dp_event(scale),
    which end up on the tape.

    patients: one row each, with every modelled column. store: noisy counts, never measured twice;
    after a crash the same call goes on. checkpoint: a folder for the critic's steps. progress: told
    public facts only (stage and step). Raises Refusal where a column is absent, or the store or
    the checkpoint belongs to other mechanisms.
    """
    real_codes = encode_rows(patients, plan.domains())
    measurements = measure(
        real_codes, plan, scale, store=store, tape=tape, noise=noise, progress=progress
    )
    marginals = _marginals(plan, measurements)
    names = [column.name for column in plan.columns]
    spans = Spans(tuple(names), tuple(measurements.groupings[name].groups for name in names))
    logits = fit_table(
        marginals, spans, plan.settings, device=torch.device(device), progress=progress
    )
    mechanism = plan.critic(scale)
    if mechanism is not None:
        logits = refine(
            logits,
            marginals,
            spans,
            plan.settings,
            mechanism,
            np.stack([measurements.groupings[n].of_cell[real_codes[n]] for n in names], 1),
            tape=tape,
            noise=noise,
            checkpoint=checkpoint,
            checkpoint_steps=checkpoint_steps,
            progress=progress,
        )
    return _finish(plan, measurements, marginals, logits, spans, progress)


def _symbols(measurements: Measurements) -> dict[str, Symbols]:
    return {name: grouping.symbols for name, grouping in measurements.groupings.items()}


def _marginals(plan: TablePlan, measurements: Measurements) -> Marginals:
    """The noisy counts as marginals, given what the implications allow."""
    symbols = _symbols(measurements)
    return denoise(measurements, _legal_groups(plan, symbols), shrink=plan.settings.shrink)


def _legal_groups(plan: TablePlan, symbols: Mapping[str, Symbols]) -> Relations:
    return {
        (a, b): _between_groups(matrix, symbols[a], symbols[b])
        for (a, b), matrix in _relations(plan, symbols).items()
    }


def _finish(
    plan: TablePlan,
    measurements: Measurements,
    marginals: Marginals,
    logits: torch.Tensor,
    spans: Spans,
    progress: Progress,
) -> TableModel:
    """The model from the generator's logits: distilled where the settings say so, its implied
    columns corrected, edges tied, targets fitted. Post-processing: no row is read.
    """
    domains, symbols = plan.domains(), _symbols(measurements)
    network: dict[str, np.ndarray] = {}
    q = softmax_heads(logits, spans)
    if plan.settings.network:
        q, network = distil(q, marginals, spans, plan.settings, progress=progress)
    whole = _relations(plan, symbols)
    table = rake(
        {name: q[:, spans.of(name)].cpu().numpy().astype(np.float32) for name in spans.names},
        marginals.margins,
        domains,
        symbols,
        whole,
        plan.settings.seed,
    )
    edges = fit_edges(
        measurements,
        marginals,
        table,
        domains,
        symbols,
        children=_unrelated(plan) if plan.settings.edges else (),
        legal=_legal_groups(plan, symbols),
    )
    sampler = conditional_sampler(spans.names, domains, symbols, table, whole, edges=edges)
    targets = _target_heads(plan, measurements, marginals.size, sampler, progress)
    notes = _notes(measurements, marginals, edges)
    return TableModel(plan, symbols, table, edges, targets, network, notes)


def _relations(plan: TablePlan, symbols: Mapping[str, Symbols]) -> Relations:
    """What implications and declared orders leave, between whole columns."""
    domains = plan.domains()
    implied = relations(domains, symbols, plan.implications)
    return with_order(implied, domains, symbols, plan.orders)


def _unrelated(plan: TablePlan) -> set[str]:
    """Columns that no implication names: these alone may be drawn from another column."""
    implied = {name for rule in plan.implications for name in (rule.given, rule.then)}
    return {column.name for column in plan.columns} - implied - set(plan.targets)


def _target_heads(
    plan: TablePlan,
    measurements: Measurements,
    size: float,
    sampler: Sampler,
    progress: Progress,
) -> tuple[TargetHead, ...]:
    """A head per target: from all columns that are no target, and the targets before it. Fitted on
    draws, public seed. size: number of patients, from noisy sums.
    """
    # of one class there is nothing to tell
    targets = [name for name in plan.targets if measurements.groupings[name].groups > 1]
    if not targets:
        return ()
    rng = np.random.default_rng([plan.settings.seed, 5])
    groups = {
        name: measurements.groupings[name].symbols.group[symbols]
        for name, symbols in sampler.draw(_DRAWS, rng).symbols.items()
        if name not in targets
    }
    heads: list[TargetHead] = []
    for target in targets:
        heads.append(fit_head(target, measurements, size, groups))
        groups[target] = draw_categorical(heads[-1].probabilities(groups), rng.random(_DRAWS))
        progress(f"{target} fitted from all columns")
    return tuple(heads)


def _between_groups(matrix: np.ndarray, a: Symbols, b: Symbols) -> np.ndarray:
    """Group pairs with at least one possible pair of symbols, bool [groups a, groups b]."""
    counts = np.zeros((a.groups, matrix.shape[1]))
    np.add.at(counts, a.group, matrix.astype(float))
    both = np.zeros((a.groups, b.groups))
    np.add.at(both.T, b.group, counts.T)
    return both > 0


def _notes(
    measurements: Measurements, marginals: Marginals, edges: tuple[Edge, ...]
) -> dict[str, Any]:
    """What the noise left, from noisy counts only (privacy_rules.md 18)."""
    groupings = measurements.groupings
    return {
        "size_estimate": round(marginals.size),
        "groups": {name: grouping.groups for name, grouping in groupings.items()},
        "categories_too_rare_to_tell_apart": {
            name: grouping.n_merged for name, grouping in groupings.items() if grouping.n_merged
        },
        "pairs": len(marginals.coarse),
        "pairs_seen_finely": len(marginals.pairs),
        "pairs_drawn_independently": marginals.independent,
        "edges": [edge.description() for edge in edges],
    }
