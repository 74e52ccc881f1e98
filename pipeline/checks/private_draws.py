"""A draw for oneself from a finished model, free: the command `draw` and the model in MLflow. It is
no release, and keeps every rule all the same: it passes `canonical` and the gate as a release does.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import tee

import polars as pl

from pipeline.adapters import partition_tables
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.draw_plan import DrawPlan
from pipeline.estimates.plan_evidence import plan_evidence
from pipeline.models.pathway.draw.start import pathway_start
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan_cells import PlanCell
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog

PARTITION_ROWS = 20_000

logger = logging.getLogger(__name__)


def drawn_tables(
    model: Synthesizer,
    n: int,
    *,
    seed: int,
    plan: DrawPlan | None = None,
    extract_date: date | None = None,
) -> Iterator[dict[str, pl.DataFrame]]:
    """The tables of n synthetic patients, partition by partition.

    plan: what every patient satisfies and which shares groups have; extract_date: the model's own,
    where none is given. Says what the tables cannot hold, and which groups of the plan were too
    rare to be learned. Raises Refusal for a plan that cannot be met, and for tables that break a
    rule: then nothing of them is to be used.
    """
    last_day = extract_date or model.extract_date
    plan = plan or DrawPlan()
    changes: Counter[str] = Counter()
    cells = model.plan_cells(plan, n)
    draws, same_draws = tee(
        model.sample(n, seed=seed, partition_rows=PARTITION_ROWS, plan=plan, cells=cells)
    )
    for rare in rare_groups(model, plan, cells):
        logger.warning("draw: %s", rare)
    for draw, (log, tables) in zip(
        draws, partition_tables(model.schema, same_draws, last_day), strict=True
    ):
        changes.update(+_changes(model, draw, log, plan.begins))
        gate = check_synthetic(
            model.schema,
            tables,
            log,
            extract_date=last_day,
            # shares are those of all partitions together
            plan=replace(plan, targets=()),
        )
        if not gate.passed:
            raise Refusal(f"{gate.refusal}. Nothing was drawn: {_advice(plan)}")
        yield tables
    for change, times in sorted((+changes).items()):
        logger.warning("draw: %s: %d", change, times)


def rare_groups(model: Synthesizer, plan: DrawPlan, cells: Sequence[PlanCell]) -> list[str]:
    """What the noisy counts say of each group of the plan that was too rare to be learned."""
    conditions = [cell.conditions for cell in cells]
    evidence = plan_evidence(model.schema, model.noisy_counts, plan, conditions)
    return [str(group) for group in evidence if group.is_rare]


def _advice(plan: DrawPlan) -> str:
    if plan:
        return "ask for fewer conditions, or another seed"
    return "try another seed, and report it: a model's draw should keep every rule"


def _changes(
    model: Synthesizer, draw: PatientLog, log: PatientLog, begins: Sequence[str]
) -> Counter[str]:
    """How the tables differ from what was drawn: events, and starts that were asked for; below 0
    where there is less of it.
    """
    changes: Counter[str] = Counter()
    if draw.events is None or log.events is None:
        return changes
    before, after = (Counter(events["type"].to_list()) for events in (draw.events, log.events))
    for name in model.schema.events.types if model.schema.events else ():
        difference = before[name] - after[name]
        changes[f"{name} events left out, for the tables have no place for them"] = difference
        changes[f"{name} events added, for the tables cannot be without them"] = -difference
    if begins and model.pathway is not None:
        changes[f"patients whose pathway no longer begins with {', '.join(begins)} then"] = (
            log.patients.height - _beginning_so(model, log.events, begins)
        )
    return changes


def _beginning_so(model: Synthesizer, events: pl.DataFrame, begins: Sequence[str]) -> int:
    """How many patients' pathways begin as they were asked to."""
    assert model.pathway is not None
    coding = model.pathway.coding
    watched = [coding.grammar.type_names[t] for t in pathway_start(coding, begins).watched]
    first = (
        events.filter(pl.col("type").is_in(watched))
        .sort(ID, "seq")
        .group_by(ID, maintain_order=True)
        .agg(pl.col("type", "code").head(len(begins)))
    )
    return sum(
        len(types) == len(begins)
        and all(
            f"{kind}={code}" == prompt if "=" in prompt else kind == prompt
            for kind, code, prompt in zip(types, codes, begins, strict=True)
        )
        for types, codes in zip(first["type"].to_list(), first["code"].to_list(), strict=True)
    )
