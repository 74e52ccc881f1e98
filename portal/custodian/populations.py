"""What a request means for a population: how it may be followed, what it would cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.catalog import Home
from pipeline.cli import price
from pipeline.cli.requests import refuse_training
from pipeline.ledger import Ledger
from pipeline.params import check_release_id
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from portal.shared import words

if TYPE_CHECKING:
    from pipeline.models.synthesizer.plan import Plan

MOST_PLANS = 64
_PLANS: dict[tuple[object, ...], Plan] = {}
FREE = "This is free: the model is published, and no patient's row is read."


@dataclass(frozen=True)
class Wish:
    """What a request asks for, as far as its cost goes."""

    kind: str
    dataset: str
    model_of: str | None
    epsilon: float | None


def schema_of(home: Home, wish: Wish) -> Schema:
    """The declaration that a request goes by. Raises Refusal where there is none."""
    if wish.kind == "training":
        return read_schema(declaration_path(wish.dataset))
    release_id = check_release_id(str(wish.model_of), "the release to draw from")
    path: Path = home.release(release_id).dataset
    if not path.is_file():
        raise Refusal(f"there is no published release {wish.model_of}")
    return read_schema(path)


def is_open_to_all(home: Home, schema: Schema) -> bool:
    """Whether how long a run takes is nobody's secret: its rows are simulated or public, by the
    declaration and the ledger, and no population of the ledger is confidential. Runs wait for each
    other: when one begins tells when another one ended.
    """
    kinds = {one.name: one.kind for one in Ledger(home.ledger).populations()}
    kind = schema.population.kind
    return (
        kind in SELF_APPROVING_KINDS
        and kinds.get(schema.population.name, kind) == kind
        and all(other in SELF_APPROVING_KINDS for other in kinds.values())
    )


def quote(home: Home, wish: Wish) -> str:
    """What a request would cost, in words. Nothing is entered, and no row is read."""
    if wish.kind != "training":
        return FREE
    schema = schema_of(home, wish)
    plan = _plan(home, schema, wish.epsilon)
    with price.with_population(home, schema) as (ledger, _):
        cost = ledger.quote(schema.population.name, plan.dp_event)
    share = cost.rdp / cost.left_rdp if cost.left_rdp else 2.0
    return words.quote_in_words(share, cost.how_many_fit)


def refuse_impossible(home: Home, wish: Wish) -> None:
    """Raises Refusal where a request can no longer be met: no source, no budget, no model."""
    schema = schema_of(home, wish)
    if wish.kind == "training":
        refuse_training(home, schema, _plan(home, schema, wish.epsilon))


def refusals_left(home: Home, population: str) -> int:
    """How many more releases of a population a person may refuse."""
    return Ledger(home.ledger).refusals_left(population)


def _plan(home: Home, schema: Schema, epsilon: float | None) -> Plan:
    """The plan of a training, kept as long as nothing that it follows from changes: it takes
    seconds.
    """
    paths = (home.params, declaration_path(schema.dataset), home.sources)
    changed = tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)
    key = (home.root, schema.dataset, epsilon, changed)
    if key not in _PLANS:
        if len(_PLANS) >= MOST_PLANS:
            _PLANS.clear()
        _PLANS[key] = price.plan_of(home, schema, epsilon, None)
    return _PLANS[key]
