"""Fitting: measure, denoise, fit the generator, refine it against the critic. In this order, each
step once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.sampling import pick
from pipeline.models.table.domain.bins import Grouping, Symbols
from pipeline.models.table.domain.legality import relations
from pipeline.models.table.draw.conditions import sampler
from pipeline.models.table.draw.decode import Sampler
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.fit.critic import refine
from pipeline.models.table.fit.denoise import Targets, targets
from pipeline.models.table.fit.edges import Edge, fit_edges
from pipeline.models.table.fit.generator import Blocks, fit_table, heads
from pipeline.models.table.fit.implied import keep_margins
from pipeline.models.table.fit.network import distil
from pipeline.models.table.fit.target import TargetHead, fit_head
from pipeline.models.table.measure.measure import Measured, encode_rows, measure
from pipeline.models.table.plan.plan import TablePlan

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

    store: noisy counts, never measured twice; after a crash the same call goes on. checkpoint: a
        folder for the critic's steps.
    progress: told public facts only (stage and step).
    """
    device = torch.device(device)
    real_codes = encode_rows(patients, plan.domains())
    measured = measure(
        real_codes, plan, scale, store=store, tape=tape, noise=noise, progress=progress
    )
    domains = plan.domains()
    symbols = {name: grouping.symbols for name, grouping in measured.groupings.items()}
    found = relations(domains, symbols, plan.implications)
    wanted = targets(
        measured,
        {
            key: _between_groups(matrix, symbols[key[0]], symbols[key[1]])
            for key, matrix in found.items()
        },
        shrink=plan.settings.shrink,
    )
    names = [column.name for column in plan.columns]
    blocks = Blocks(tuple(names), tuple(symbols[name].groups for name in names))
    logits = fit_table(wanted, blocks, plan.settings, device=device, progress=progress)
    network: dict[str, np.ndarray] = {}
    mechanism = plan.critic(scale)
    if mechanism is not None:
        group_codes = {name: measured.groupings[name].of_cell[real_codes[name]] for name in names}
        logits = refine(
            logits,
            wanted,
            blocks,
            plan.settings,
            mechanism,
            np.stack([group_codes[n] for n in names], 1),
            tape=tape,
            noise=noise,
            checkpoint=checkpoint,
            checkpoint_steps=checkpoint_steps,
            progress=progress,
        )
    q = heads(logits, blocks)
    if plan.settings.network:
        q, network = distil(q, wanted, blocks, plan.settings, progress=progress)
    table = {name: q[:, blocks.span(name)].cpu().numpy().astype(np.float32) for name in names}
    table = keep_margins(table, wanted.margins, domains, symbols, found, plan.settings.seed)
    edges = fit_edges(
        measured,
        wanted,
        table,
        domains,
        symbols,
        children=_free(plan) if plan.settings.edges else (),
    )
    last = _target_heads(
        plan,
        measured,
        wanted.size,
        sampler(names, domains, symbols, table, found, edges=edges),
        progress,
    )
    return TableModel(plan, symbols, table, edges, last, network, _notes(measured, wanted, edges))


def _free(plan: TablePlan) -> set[str]:
    """Columns that no implication binds: these alone may be drawn from another column."""
    bound = {name for rule in plan.implications for name in (rule.given, rule.then)}
    return {column.name for column in plan.columns} - bound - set(plan.targets)


def _target_heads(
    plan: TablePlan, measured: Measured, size: float, prepared: Sampler, progress: Progress
) -> tuple[TargetHead, ...]:
    """A head per target: from all columns that are no target, and the targets before it. Fitted on
    draws, public seed.
    """
    # of one class there is nothing to tell
    wanted = [name for name in plan.targets if measured.groupings[name].groups > 1]
    if not wanted:
        return ()
    rng = np.random.default_rng([plan.settings.seed, 5])
    drawn = prepared.draw(_DRAWS, rng).symbols
    groups = {
        name: measured.groupings[name].symbols.group[symbols]
        for name, symbols in drawn.items()
        if name not in wanted
    }
    made: list[TargetHead] = []
    for target in wanted:
        made.append(fit_head(target, measured, size, groups))
        groups[target] = pick(made[-1].chances(groups), rng.random(_DRAWS))
        progress(f"{target} fitted from all columns")
    return tuple(made)


def _between_groups(matrix: np.ndarray, a: Symbols, b: Symbols) -> np.ndarray:
    """Group pairs with at least one possible pair of symbols, bool [groups a, groups b]."""
    counts = np.zeros((a.groups, matrix.shape[1]))
    np.add.at(counts, a.group, matrix.astype(float))
    both = np.zeros((a.groups, b.groups))
    np.add.at(both.T, b.group, counts.T)
    return both > 0


def _notes(measured: Measured, wanted: Targets, edges: tuple[Edge, ...]) -> dict[str, Any]:
    """What the noise left, from noisy counts only (privacy_rules.md 18)."""
    groupings: dict[str, Grouping] = measured.groupings
    merged = {name: grouping.merged for name, grouping in groupings.items() if grouping.merged}
    return {
        "size_estimate": round(wanted.size),
        "groups": {name: grouping.groups for name, grouping in groupings.items()},
        "categories_too_rare_to_tell_apart": merged,
        "pairs": len(wanted.coarse),
        "pairs_seen_finely": len(wanted.pairs),
        "pairs_drawn_independently": wanted.independent,
        "edges": [edge.described() for edge in edges],
    }
