"""The chance of a right guess: never below what a mechanism of that divergence allows, and no
looser than the divergence itself.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from pipeline.dp.errors import MechanismError
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.dp.membership import FALSE_ALARMS, largest_power
from pipeline.dp.renyi import rdp, rdp_bound
from pipeline.dp.tradeoff import tradeoff

ORDERS = (2, 4, 5, 9, 30)
DIVERGENCES = (1e-4, 0.01, 0.1, 0.5, 1.7, 6.1)


def coins(order: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Renyi divergence of coins from its definition, where no chance is 0 or 1."""
    total = first**order * second ** (1 - order) + (1 - first) ** order * (1 - second) ** (
        1 - order
    )
    return np.log(total) / (order - 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("false_alarm", FALSE_ALARMS)
def test_it_is_the_largest_power_of_a_fine_grid(order, divergence, false_alarm):
    step = 1e-5
    power = np.arange(false_alarm, 1.0 - step / 2, step)
    larger = np.maximum(
        coins(order, power, np.full_like(power, false_alarm)),
        coins(order, np.full_like(power, false_alarm), power),
    )
    by_force = power[larger <= divergence].max()
    assert by_force <= largest_power(order, divergence, false_alarm) <= by_force + 1.01 * step


@pytest.mark.parametrize("order", ORDERS)
def test_it_is_never_below_what_gaussian_noise_allows(order):
    """Exactly: a Gaussian mechanism of shift mu has the divergence order mu^2 / 2, and the power
    Phi(Phi^-1(f) + mu) (Dong, Roth, Su 2022, equation 6). The bound stays near it.
    """
    for mu in np.geomspace(1e-3, 5.0, 60):
        for false_alarm in (*FALSE_ALARMS, 0.1, 0.5):
            exact = ndtr(ndtri(false_alarm) + mu)
            bound = largest_power(order, order * mu**2 / 2, false_alarm)
            assert exact <= bound <= 1
    assert largest_power(9, 9 * 0.2**2 / 2, 0.01) < 1.2 * ndtr(ndtri(0.01) + 0.2)


@pytest.mark.parametrize("sigma", [1.5, 4.0, 12.0])
def test_it_is_never_below_the_exact_tradeoff_of_a_block_of_counts(sigma):
    event = DiscreteGaussianDpEvent(sigma)
    for order in ORDERS:
        for false_alarm in FALSE_ALARMS:
            bound = largest_power(order, rdp(event, order), false_alarm)
            # the trade-off is itself an upper bound, above the true one by its grid
            assert tradeoff(event).largest_power(false_alarm) <= bound + 1e-6


def test_it_grows_with_what_was_spent_and_with_the_false_alarm():
    order, limit = rdp_bound(10.0, 1e-6)
    powers = [largest_power(order, share * limit, 0.01) for share in np.linspace(0, 1, 30)]
    assert powers == sorted(powers) and powers[0] == pytest.approx(0.01)
    alarms = [largest_power(order, 0.3, alarm) for alarm in (0.001, 0.01, 0.1, 0.5)]
    assert alarms == sorted(alarms)


@pytest.mark.parametrize(
    ("order", "divergence", "false_alarm"),
    [(1, 0.1, 0.01), (4, -0.1, 0.01), (4, math.inf, 0.01), (4, 0.1, 0.0), (4, math.nan, 0.01)],
)
def test_what_is_no_divergence_has_no_power(order, divergence, false_alarm):
    with pytest.raises(MechanismError):
        largest_power(order, divergence, false_alarm)
