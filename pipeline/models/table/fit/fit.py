"""Fitting: measure, denoise, let the engine shape the latent table, correct implied columns, tie
edges, fit targets. In this order, each step once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.sampling import draw_categorical
from pipeline.models.table.draw.conditional_sampler import conditional_sampler
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.draw.sampler import Sampler
from pipeline.models.table.fit.edges import fit_edges
from pipeline.models.table.fit.engines import ENGINES, LatentTable, Start, Training
from pipeline.models.table.fit.loss import Spans
from pipeline.models.table.fit.raking import rake
from pipeline.models.table.fit.sequence import (
    legal_groups,
    marginals_of,
    measurements_of,
    spans_of,
    symbols_of,
    whole_relations,
)
from pipeline.models.table.fit.target import fit_head
from pipeline.models.table.measure.columns import encode_rows, groups_of_rows
from pipeline.models.table.measure.measurer import Measurer
from pipeline.models.table.measure.published import published_tables
from pipeline.models.table.plan.engines import check_plannable
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.heads import Edge, TargetHead
from pipeline.models.table.values.measurements import Marginals, Measurements

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
    mirror: Mirror | None = None,
) -> TableModel:
    """The model of these rows, one per patient, private by the mechanisms of plan.dp_event(scale),
    which end up on the tape.

    patients: one row each, with every modelled column. store: noisy counts, never measured twice;
    after a crash the same call goes on. checkpoint: a folder for the critic's steps. progress: told
    public facts only (stage and step). Raises Refusal where a column is absent, the engine does
    not run what is planned, or the store or the checkpoint belongs to other mechanisms.
    """
    # a plan of before engines had names may hold a critic that no engine runs
    check_plannable(plan.settings.engine, plan.settings.critic_part)
    cells = encode_rows(patients, plan.domains())
    noisy = Measurer(plan.counts(scale), plan.choice(scale), store, tape, noise)
    measurements = measurements_of(noisy, cells, plan, torch.device(device), progress)
    marginals = marginals_of(plan, measurements)
    spans = spans_of(measurements)

    def groups() -> np.ndarray:
        of_rows = groups_of_rows(measurements.columns, cells)
        return np.stack([of_rows[name] for name in spans.names], 1)

    latent = ENGINES[plan.settings.engine](
        Start(plan, scale, marginals, spans, legal_groups(plan, symbols_of(measurements))),
        Training(
            *(groups, tape, noise, checkpoint, checkpoint_steps),
            *(torch.device(device), progress, mirror),
        ),
    )
    model = _finish(plan, measurements, marginals, latent, spans, progress)
    tables = published_tables(plan, noisy.results, noisy.sigmas, measurements)
    return replace(model, noisy_counts=tables)


def _finish(
    plan: TablePlan,
    measurements: Measurements,
    marginals: Marginals,
    latent: LatentTable,
    spans: Spans,
    progress: Progress,
) -> TableModel:
    """The model from the latent table: its implied columns corrected, edges tied, targets fitted.
    Post-processing: no row is read.
    """
    domains, symbols, q = plan.domains(), symbols_of(measurements), latent.q
    whole = whole_relations(plan, symbols)
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
        legal=legal_groups(plan, symbols),
    )
    sampler = conditional_sampler(spans.names, domains, symbols, table, whole, edges=edges)
    targets = _target_heads(plan, measurements, marginals.size, sampler, progress)
    notes = _notes(measurements, marginals, edges)
    return TableModel(plan, symbols, table, edges, targets, latent.network, notes)


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
        "pairs": math.comb(len(groupings), 2),
        "pairs_looked_at": [list(pair) for pair in measurements.pairs],
        "pairs_without_dependence_above_noise": marginals.independent,
        "known_tables_denied": list(marginals.contradicted),
        "edges": [edge.description() for edge in edges],
    }
