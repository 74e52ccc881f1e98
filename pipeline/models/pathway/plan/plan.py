"""The plan of the pathway model for a declaration: nothing but declared numbers goes into it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial

from pipeline.models.pathway.domain.choices import tables_by_choice
from pipeline.models.pathway.domain.facts import repeating_type
from pipeline.models.pathway.domain.tables import calibration_tables, part_size
from pipeline.models.pathway.plan.coding import declared_coding
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.own_tables import own_tables
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.values import Schema


def plan_pathways(
    schema: Schema,
    settings: PathwaySettings,
    nominal_size: int,
    observed_until: date | None = None,
    expected_scale: float = 1.0,
) -> PathwayPlan:
    """The mechanisms for this declaration.

    nominal_size: patients that the population is declared to have; observed_until: the public last
    day of observation; expected_scale: about the scale at which the plan will run, a hint by which
    a log without declared tables chooses its own. Raises Refusal where the declaration has no event
    log or contradicts itself.
    """
    log = schema.events
    if log is None or log.observation_end is None or log.origin is None:
        observed_until = None
    coding = declared_coding(schema, settings, observed_until, ())
    plan = PathwayPlan(
        settings=settings, nominal_size=nominal_size, tables=(), observed_until=observed_until
    )
    if settings.calibration_share == 0:
        return plan
    chosen = coding.grammar.log.counted or own_tables(
        coding,
        partial(part_size, coding),
        repeating_type(coding),
        nominal_size,
        expected_scale / settings.calibration_share**0.5,
    )
    tables = calibration_tables(coding, chosen)
    # refuses what no head could learn, before anything is charged
    tables_by_choice(coding, tables)
    return replace(plan, tables=tables)
