"""Events: JSON there and back, one canonical form, unknown ones refused."""

import json

import dp_accounting as dpa
import pytest

from pipeline.dp.events import (
    DiscreteGaussianDpEvent,
    canonical,
    canonical_string,
    composed,
    flatten,
    from_json,
    to_json,
)

COUNT = DiscreteGaussianDpEvent(2.015625)
STEP = dpa.PoissonSampledDpEvent(0.1 + 0.2, dpa.GaussianDpEvent(1.0 / 3.0))
JOINT = dpa.ComposedDpEvent(
    [
        COUNT,
        dpa.SelfComposedDpEvent(STEP, 400),
        dpa.ComposedDpEvent([COUNT, dpa.GaussianDpEvent(5.0)]),
    ]
)


@pytest.mark.parametrize("event", [COUNT, STEP, JOINT, canonical(JOINT)])
def test_json_keeps_every_bit(event: dpa.DpEvent) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_equality_is_by_value() -> None:
    assert (
        DiscreteGaussianDpEvent(2.0) == DiscreteGaussianDpEvent(2.0) != DiscreteGaussianDpEvent(2.5)
    )
    assert DiscreteGaussianDpEvent(2.0) != dpa.GaussianDpEvent(2.0)


def test_the_canonical_form_forgets_order_and_grouping_only() -> None:
    other = dpa.ComposedDpEvent(
        [
            dpa.GaussianDpEvent(5.0),
            dpa.SelfComposedDpEvent(dpa.SelfComposedDpEvent(STEP, 4), 100),
            dpa.NoOpDpEvent(),
            dpa.SelfComposedDpEvent(COUNT, 2),
        ]
    )
    assert canonical_string(other) == canonical_string(JOINT) == canonical_string(canonical(JOINT))
    for different in (
        [COUNT],
        [JOINT, COUNT],
        [COUNT, COUNT, dpa.GaussianDpEvent(5.0), dpa.SelfComposedDpEvent(STEP, 399)],
    ):
        assert canonical_string(composed(different)) != canonical_string(JOINT)
    assert flatten(JOINT) == {COUNT: 2, STEP: 400, dpa.GaussianDpEvent(5.0): 1}


@pytest.mark.parametrize(
    "event",
    [
        dpa.LaplaceDpEvent(1.0),
        dpa.NonPrivateDpEvent(),
        dpa.PoissonSampledDpEvent(0.1, COUNT),
        dpa.GaussianDpEvent(0.0),
        dpa.PoissonSampledDpEvent(0.1, dpa.GaussianDpEvent(float("nan"))),
        dpa.PoissonSampledDpEvent(1.5, dpa.GaussianDpEvent(1.0)),
        dpa.SelfComposedDpEvent(COUNT, -1),
    ],
)
def test_what_cannot_be_accounted_is_refused(event: dpa.DpEvent) -> None:
    with pytest.raises(ValueError, match=r"know|accounted|must be|whole number"):
        flatten(dpa.ComposedDpEvent([COUNT, event]))


@pytest.mark.parametrize(
    "value", [{}, {"event": "exec"}, {"event": "discrete_gaussian", "sigma": -1.0}]
)
def test_other_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not the JSON|must be positive"):
        from_json(value)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_noise_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        DiscreteGaussianDpEvent(sigma)
