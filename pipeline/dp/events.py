"""What a mechanism is to the accountant: dp_accounting's events, two of our own, their JSON, and
one canonical form.

An event's meaning never changes once a ledger holds it; new behaviour gets a new class (the promise
of dp_accounting's own module).
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attr
import dp_accounting as dpa

from pipeline.dp.errors import MechanismError


def _positive(_event: Any, field: Any, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise MechanismError(f"{field.name} must be positive and finite, got {value}")


@attr.s(frozen=True, slots=True, auto_attribs=True)
class DiscreteGaussianDpEvent(dpa.DpEvent):
    """A vector of integer counts, of which one patient moves one cell by at most 1, plus N_Z(0,
    sigma^2) on each cell.

    Canonne, Kamath, Steinke 2020 (arxiv.org/abs/2004.00010), Definition 1. `sigma` is the parameter
    of the distribution, not its standard deviation.
    """

    sigma: float = attr.ib(validator=_positive)


@attr.s(frozen=True, slots=True, auto_attribs=True)
class ExponentialMechanismDpEvent(dpa.DpEvent):
    """One pick of the exponential mechanism: log probabilities of all picks move by at most
    `epsilon` between neighbours, and lie in a range of that width (bounded range).

    McSherry and Talwar 2007; Durfee and Rogers 2019 (arxiv.org/abs/1905.04273), Definition 4.1.
    """

    epsilon: float = attr.ib(validator=_positive)


def composed(events: Iterable[dpa.DpEvent]) -> dpa.ComposedDpEvent:
    """The canonical event of everything in `events`: see `canonical`."""
    return canonical(dpa.ComposedDpEvent(list(events)))


def flatten(event: dpa.DpEvent) -> dict[dpa.DpEvent, int]:
    """{leaf: how often}, a leaf being a (discrete) Gaussian, a Poisson-sampled Gaussian or a pick
    of the exponential mechanism. Order of composition does not matter to us.

    >>> one = DiscreteGaussianDpEvent(2.0)
    >>> flatten(dpa.ComposedDpEvent([one, dpa.SelfComposedDpEvent(one, 3)]))
    {DiscreteGaussianDpEvent(sigma=2.0): 4}

    Raises MechanismError for an event that our accounting does not know: it is never approximated.
    """
    counts: Counter[dpa.DpEvent] = Counter()
    stack: list[tuple[dpa.DpEvent, int]] = [(event, 1)]
    while stack:
        part, times = stack.pop()
        if isinstance(part, dpa.ComposedDpEvent):
            stack.extend((inner, times) for inner in reversed(part.events))
        elif isinstance(part, dpa.SelfComposedDpEvent):
            if part.count < 0 or int(part.count) != part.count:
                raise MechanismError(
                    f"an event is composed a whole number of times, got {part.count}"
                )
            if part.count:
                stack.append((part.event, times * int(part.count)))
        elif not isinstance(part, dpa.NoOpDpEvent):
            _check_leaf(part)
            counts[part] += times
    return dict(counts)


def canonical(event: dpa.DpEvent) -> dpa.ComposedDpEvent:
    """Equal leaves grouped under one SelfComposedDpEvent, sorted: two events that compose the same
    leaves have equal canonical forms. Raises MechanismError as `flatten` does.
    """
    groups = sorted(flatten(event).items(), key=lambda group: _dumps(to_json(group[0])))
    return dpa.ComposedDpEvent([dpa.SelfComposedDpEvent(leaf, count) for leaf, count in groups])


def canonical_string(event: dpa.DpEvent) -> str:
    """The canonical form as JSON text: equal exactly where the events compose the same leaves
    equally often.

    >>> canonical_string(DiscreteGaussianDpEvent(2.0))
    '{"event":"composed","events":[{"count":1,"event":"self_composed","of":{"event":"discrete_gaussian","sigma":2.0}}]}'
    """
    return _dumps(to_json(canonical(event)))


def to_json(event: dpa.DpEvent) -> dict[str, Any]:
    """The event as plain values, whole; floats survive JSON exactly (shortest repr). Raises
    MechanismError for an event that has no such form.
    """
    if isinstance(event, dpa.ComposedDpEvent):
        return {"event": "composed", "events": [to_json(inner) for inner in event.events]}
    if isinstance(event, dpa.SelfComposedDpEvent):
        return {"event": "self_composed", "of": to_json(event.event), "count": int(event.count)}
    if isinstance(event, dpa.PoissonSampledDpEvent):
        return {
            "event": "poisson_sampled",
            "sampling_probability": float(event.sampling_probability),
            "of": to_json(event.event),
        }
    if isinstance(event, dpa.GaussianDpEvent):
        return {"event": "gaussian", "noise_multiplier": float(event.noise_multiplier)}
    if isinstance(event, DiscreteGaussianDpEvent):
        return {"event": "discrete_gaussian", "sigma": float(event.sigma)}
    if isinstance(event, ExponentialMechanismDpEvent):
        return {"event": "exponential_mechanism", "epsilon": float(event.epsilon)}
    raise MechanismError(
        f"no JSON form for the event {type(event).__name__}: add one here and to the accounting"
    )


def from_json(value: dict[str, Any]) -> dpa.DpEvent:
    """The event that `to_json` wrote. Raises MechanismError for anything else."""
    kind = value.get("event")
    if kind == "composed":
        return dpa.ComposedDpEvent([from_json(inner) for inner in value["events"]])
    if kind == "self_composed":
        return dpa.SelfComposedDpEvent(from_json(value["of"]), value["count"])
    if kind == "poisson_sampled":
        return dpa.PoissonSampledDpEvent(value["sampling_probability"], from_json(value["of"]))
    if kind == "gaussian":
        return dpa.GaussianDpEvent(value["noise_multiplier"])
    if kind == "discrete_gaussian":
        return DiscreteGaussianDpEvent(value["sigma"])
    if kind == "exponential_mechanism":
        return ExponentialMechanismDpEvent(value["epsilon"])
    raise MechanismError(f"not the JSON of an event: {kind!r}")


def _check_leaf(event: dpa.DpEvent) -> None:
    gaussian = event
    if isinstance(event, dpa.PoissonSampledDpEvent):
        if not 0 < event.sampling_probability <= 1:
            raise MechanismError(
                f"sampling_probability must be in (0, 1], got {event.sampling_probability}"
            )
        gaussian = event.event
        if not isinstance(gaussian, dpa.GaussianDpEvent):
            raise MechanismError(
                "only Gaussians are accounted under Poisson sampling, got"
                f" {type(gaussian).__name__}"
            )
    if isinstance(gaussian, dpa.GaussianDpEvent):
        if not (math.isfinite(gaussian.noise_multiplier) and gaussian.noise_multiplier > 0):
            raise MechanismError(
                f"noise_multiplier must be positive and finite, got {gaussian.noise_multiplier}"
            )
    elif not isinstance(gaussian, DiscreteGaussianDpEvent | ExponentialMechanismDpEvent):
        raise MechanismError(f"the accounting does not know the event {type(event).__name__}")


def _dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
