"""Checks of what somebody asked for in the portal, before anything is started for it."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from pipeline.catalog import Home
from pipeline.cli import price
from pipeline.draw_plan import read_plan
from pipeline.plan_slices import check_plan
from pipeline.refusal import Refusal
from pipeline.runs import released_trees, sources, version_stores
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

if TYPE_CHECKING:
    from pipeline.models.synthesizer.plan import Plan

logger = logging.getLogger(__name__)


def check_request(options: argparse.Namespace) -> None:
    """Raises Refusal where a request cannot be met: it was approved by who asked, its plan does not
    fit, its model is not published, its dataset has no source, or the budget is gone.
    """
    home = Home.find()
    if options.asked_by.strip().lower() == options.approved_by.strip().lower():
        raise Refusal(f"{options.approved_by} asked for this, and somebody else must approve it")
    if options.kind == "draw":
        released_trees.copy_here(home, str(options.model_of))
        if not version_stores.is_tagged(home.released_store, str(options.model_of)):
            raise Refusal(f"there is no published release {options.model_of} to draw from")
        schema = read_schema(home.release(options.model_of).dataset)
    else:
        schema = read_schema(declaration_path(options.dataset))
        refuse_training(home, schema, price.plan_of(home, schema, options.epsilon, None))
    check_plan(schema, read_plan(options.plan or "", "plan"))
    logger.info("check-request: the request can be met")


def refuse_training(home: Home, schema: Schema, plan: Plan) -> None:
    """Raises Refusal where a new training cannot be: no source, no budget, no refusal left."""
    if sources.get(home, schema.dataset) is None:
        raise Refusal(
            f"no source of {schema.dataset} is declared: hand the data over first, or declare where"
            " they are with `python -m pipeline sources set`"
        )
    name = schema.population.name
    with price.with_population(home, schema) as (ledger, _):
        if not ledger.quote(name, plan.dp_event).how_many_fit:
            raise Refusal(
                f"the budget of population {name} has no room for a training at epsilon"
                f" {plan.epsilon:g}: ask for a smaller epsilon, or draw from a published model"
                " (free). Nothing was started"
            )
        if not ledger.refusals_left(name):
            raise Refusal(
                f"so many releases of population {name} were refused or given up that it takes no"
                " further one: draw from a published model (free). Nothing was started"
            )
