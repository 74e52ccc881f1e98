"""The most that anybody learns about one patient, as a chance of guessing right: "he or she is in
the data".

A test says so with chance f (false alarm) of somebody who is not in the data, and with chance t
(the power) of somebody who is. Renyi divergence never grows by post-processing (van Erven and
Harremoes 2014, Theorem 9, arxiv.org/abs/1206.2459), and a test's answer is post-processing of all
that was published: so the divergence of two coins with chances t and f is at most that of the
releases, both ways round. The largest t for which this is so bounds every test.
"""

from __future__ import annotations

import math

from pipeline.dp.errors import MechanismError

FALSE_ALARMS = (0.01, 0.001)  # at which cards state the power
_HALVINGS = 80


def largest_power(order: float, divergence: float, false_alarm: float) -> float:
    """The most power, in [false_alarm, 1], of a test with this chance of a false alarm in (0, 1),
    where the Renyi divergence at `order` > 1 is at most `divergence` >= 0 nats between neighbours,
    both ways. Rounded upwards.

    Raises MechanismError for figures outside these ranges.

    >>> round(largest_power(4, 0.0, 0.01), 6), round(largest_power(4, 0.1, 0.01), 4)
    (0.01, 0.0255)
    """
    if not (1 < order < math.inf and 0 <= divergence < math.inf and 0 < false_alarm < 1):
        raise MechanismError(
            f"no power at order {order}, divergence {divergence}, false alarm {false_alarm}"
        )
    low, high = false_alarm, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _divergence(order, middle, false_alarm) <= divergence:
            low = middle
        else:
            high = middle
    return high


def _divergence(order: float, power: float, false_alarm: float) -> float:
    """Of the two coins, the larger way round; it grows with the power above the false alarm."""
    return max(_coins(order, power, false_alarm), _coins(order, false_alarm, power))


def _coins(order: float, chance: float, other: float) -> float:
    """Renyi divergence of a coin with `chance` from one with chance `other`, both in (0, 1]."""
    if other == 1:
        return math.inf if chance < 1 else 0.0
    heads = order * math.log(chance) + (1 - order) * math.log(other)
    if chance == 1:
        return heads / (order - 1)
    tails = order * math.log1p(-chance) + (1 - order) * math.log1p(-other)
    largest = max(heads, tails)
    return (largest + math.log1p(math.exp(min(heads, tails) - largest))) / (order - 1)
