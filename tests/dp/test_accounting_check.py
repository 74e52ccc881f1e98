"""Our epsilon beside an exact one, dp_accounting's and Opacus': what the table in
docs/benchmarks.md says, held.
"""

from __future__ import annotations

import pytest

from bench.accounting_cases import CASES, Case, exact
from bench.accounting_check import DELTAS, digits, measure
from pipeline.dp import accounting
from pipeline.dp.gaussian import gaussian_epsilon

QUICK = [case for case in CASES if case.times <= 20 or (case.q < 1 and case.times <= 300)]
CLOSE = 1e-3  # three digits


def check(case: Case, delta: float, *, prv: bool) -> None:
    row = measure(case, delta, prv=prv)
    assert row["difference"] < CLOSE, row
    # the grid rounds up, never down
    assert row["over_exact"] is None or -1e-9 <= row["over_exact"] < CLOSE
    assert row["within_prv"]
    assert row["renyi_difference"] < 1e-9
    assert row["ours"] < row["rdp"]  # what the Renyi bound costs within a release


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
@pytest.mark.parametrize("delta", DELTAS)
def test_epsilon_agrees_to_three_digits(case: Case, delta: float) -> None:
    check(case, delta, prv=False)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("delta", DELTAS)
def test_epsilon_agrees_and_lies_within_the_bounds_of_opacus_prv(case: Case, delta: float) -> None:
    check(case, delta, prv=True)


def test_every_chance_to_join_a_batch_is_asked() -> None:
    assert {case.q for case in CASES} == {1e-3, 0.01, 0.1, 1.0}
    assert {case.kind for case in QUICK} == {"gaussian", "discrete"}


def test_the_exact_values_are_those_of_the_closed_form() -> None:
    for sigma, times in ((0.7, 1), (2.0, 12)):
        ours = gaussian_epsilon(times**0.5 / sigma, 1e-6)
        assert exact(Case(kind="gaussian", sigma=sigma, times=times), 1e-6) == pytest.approx(
            ours, rel=1e-9
        )
    assert exact(Case(kind="gaussian", sigma=1.0, times=5, q=0.1), 1e-6) is None
    assert (digits(4.4e-4), digits(1e-3), digits(0.0)) == (3, 3, 16)


def test_a_hundredth_less_noise_or_a_few_more_steps_would_be_seen() -> None:
    case = Case(kind="gaussian", sigma=0.8, times=300, q=0.01)
    ours = accounting.epsilon(case.event, 1e-6)
    for other in (
        Case(kind="gaussian", sigma=0.79, times=300, q=0.01),
        Case(kind="gaussian", sigma=0.8, times=310, q=0.01),
    ):
        assert abs(accounting.epsilon(other.event, 1e-6) / ours - 1) > 5 * CLOSE
