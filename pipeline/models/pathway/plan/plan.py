"""The plan of the pathway model for a declaration: nothing but declared numbers goes into it."""

from __future__ import annotations

from datetime import date

from pipeline.models.pathway.domain.choices import tables_by_choice
from pipeline.models.pathway.domain.tables import calibration_tables
from pipeline.models.pathway.plan.coding import declared_coding
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.values import Schema


def plan_pathways(
    schema: Schema, settings: PathwaySettings, nominal_size: int, observed_until: date | None = None
) -> PathwayPlan:
    """The mechanisms for this declaration.

    nominal_size: patients that the population is declared to have; observed_until: the public last
    day of observation. Raises Refusal where the declaration has no event log or contradicts
    itself.
    """
    log = schema.events
    if log is None or log.observation_end is None or log.origin is None:
        observed_until = None
    coding = declared_coding(schema, settings, observed_until)
    tables = calibration_tables(coding, schema.strata) if settings.calibration_share > 0 else ()
    # refuses what no head could learn, before anything is charged
    tables_by_choice(coding, tables)
    return PathwayPlan(
        settings=settings, nominal_size=nominal_size, tables=tables, observed_until=observed_until
    )
