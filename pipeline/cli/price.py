"""What a release would cost, and how many like it fit; nothing is recorded, and no row is read."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.catalog import Home
from pipeline.cli.console import say, say_table
from pipeline.refusal import Refusal
from pipeline.runs import sources
from pipeline.schema.values import Schema

if TYPE_CHECKING:
    from datetime import date

    from pipeline.ledger import Ledger
    from pipeline.models.synthesizer.plan import Plan


def plan_of(home: Home, schema: Schema, epsilon: float | None, extract_date: date | None) -> Plan:
    """The plan of a release under the home's params; `epsilon` and the date where they are not the
    params' and the declared one. Raises Refusal for an epsilon that no noise fits.
    """
    from pipeline import params
    from pipeline.dp.errors import MechanismError
    from pipeline.models.synthesizer.plan import joint_plan

    settings, source = params.load(home.params), sources.get(home, schema.dataset)
    privacy = settings.privacy if epsilon is None else replace(settings.privacy, epsilon=epsilon)
    until = extract_date or (source.extract_date if source else None)
    try:
        return joint_plan(schema, privacy, settings.train, until)
    except MechanismError as error:
        raise Refusal(f"no training fits epsilon {privacy.epsilon:g}: {error}") from None


def say_price(home: Home, schema: Schema, plan: Plan, cohorts: Sequence[str]) -> None:
    """What the plan would cost, by mechanism, and how many such releases fit."""
    with with_population(home, schema) as (ledger, is_open):
        population = ledger.population(schema.population.name)
        price = ledger.quote(population.name, plan.dp_event, cohorts)
        say(
            f"A release of {schema.dataset} at epsilon {plan.epsilon:g} costs epsilon"
            f" {price.epsilon:.4f} on its own (by PLD, delta {population.delta:g}),"
            f" {price.rdp:.4f} of Renyi divergence at order {population.order}."
        )
        say_table(
            ("  mechanism", "kind", "epsilon alone"),
            [
                (f"  {line['name']}", line["kind"], f"{line['epsilon_alone']:.3f}")
                for line in plan.mechanisms()
            ],
        )
        state = "has" if is_open else "is not open yet; as declared it would have"
        say(
            f"Population {population.name} {state} {price.left_rdp:.4f} left of"
            f" {population.limit_rdp:.4f} (epsilon {population.epsilon:g}): {price.how_many_fit}"
            " such release(s) fit." + ("" if price.how_many_fit else " It would be refused.")
        )


@contextmanager
def with_population(home: Home, schema: Schema) -> Iterator[tuple[Ledger, bool]]:
    """(ledger, whether the population is open there); where it is not, a scratch ledger in which it
    is.
    """
    from pipeline.ledger import Ledger

    ledger = Ledger(home.ledger)
    if ledger.is_open(schema.population.name):
        ledger.check_declared(schema.population)
        yield ledger, True
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Ledger(Path(folder) / "ledger.db")
        open_declared(scratch, schema, "a quote")
        yield scratch, False


def open_declared(
    ledger: Ledger, schema: Schema, reason: str, disjoint_from: Sequence[str] = ()
) -> None:
    """Opens the population that a dataset declares."""
    population = schema.population
    ledger.open_population(
        population.name,
        universe=population.universe,
        nominal_size=population.nominal_size,
        epsilon=population.epsilon,
        delta=population.delta,
        ceiling_epsilon=population.ceiling_epsilon,
        kind=population.kind,
        reason=reason,
        by=getpass.getuser(),
        disjoint_from=disjoint_from,
        cohorts=population.cohort_names,
    )
