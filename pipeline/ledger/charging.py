"""One charge: the mechanism in its canonical form, what it costs, and its entry where it fits."""

import math
from collections.abc import Sequence

import dp_accounting as dpa

from pipeline.dp import accounting, events, renyi
from pipeline.ledger.admission import over_budget
from pipeline.ledger.chain import Writer
from pipeline.ledger.values import (
    BudgetExceeded,
    ChargeRequest,
    Reservation,
    population_in,
    reservation_of,
    spent_by,
)
from pipeline.refusal import Refusal


def canonical_mechanism(event: dpa.DpEvent, release_id: str) -> dpa.ComposedDpEvent:
    """The event in its canonical form. Raises Refusal for a mechanism of nothing, MechanismError
    for one that cannot be accounted.
    """
    canonical = events.canonical(event)
    if not canonical.events:
        raise Refusal(
            f"{release_id}: the mechanism is empty; a release that reads rows must charge something"
        )
    return canonical


def finite_epsilon(request: ChargeRequest, delta: float) -> float:
    """The epsilon of the release alone, by PLD. Raises Refusal where there is no finite one."""
    epsilon = accounting.epsilon(request.event, delta)
    if not math.isfinite(epsilon):
        raise Refusal(
            f"{request.release_id}: at delta {delta:g} the mechanism keeps no finite epsilon, so"
            " it was refused; add noise"
        )
    return epsilon


def charge(
    writer: Writer, request: ChargeRequest, epsilon: float, by: str, register: Sequence[str]
) -> Reservation:
    """The entry of a charge that fits the budget as it stands now: it may have been raised since
    the request was made. Raises BudgetExceeded where it does not fit.
    """
    population = population_in(writer.entries, request.population)
    cost = renyi.rdp(request.event, population.order)
    spent = spent_by(writer.entries, population, request.cohorts)
    if not spent + cost <= population.limit_rdp:
        raise BudgetExceeded(over_budget(request.release_id, population, spent, cost, epsilon))
    entry = writer.append(
        population=population.name,
        release_id=request.release_id,
        kind="reserved",
        by=by,
        facts={
            "event": events.to_json(request.event),
            "source_label": request.source_label,
            "order": population.order,
            "rdp": cost,
            "epsilon": epsilon,
            "delta": population.delta,
            "plan_sha256": request.plan_sha256,
            **({"seed": request.seed} if request.seed is not None else {}),
            **({"cohorts": request.cohorts} if request.cohorts else {}),
            **({"register": register[-1]} if register else {}),
        },
    )
    return reservation_of(entry)
