"""The ledger's benchmark: the adversary stays within the limit and comes to it; counts of releases
are what they claim to be.
"""

from __future__ import annotations

import dp_accounting as dpa
import pytest

from bench import ledger_refreshes
from pipeline.dp import accounting, renyi


def test_a_short_attack_comes_to_the_limit_and_not_past_it() -> None:
    row = ledger_refreshes.attack(7, refreshes=60, greed=0.02)
    assert (
        row["admitted"] + row["refused"] == row["requests"] == 60
        and row["entries"] == row["admitted"] + 1
    )
    assert 0.9 < row["largest_share"] <= 1 + 1e-9 and row["epsilon_spent"] <= 10 + 1e-6
    assert row["kinds"] > 0.7 * row["admitted"]  # nearly every mechanism is a new one


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12])
def test_a_thousand_refreshes_never_pass_the_limit(seed: int) -> None:
    row = ledger_refreshes.attack(seed)
    assert (
        row["requests"] == 1000
        and row["admitted"] >= 400
        and 0.99 < row["largest_share"] <= 1 + 1e-9
    )


def test_each_count_is_the_largest_that_fits() -> None:
    event = ledger_refreshes.release(ledger_refreshes.EVENTS[0])
    row = ledger_refreshes.fits(ledger_refreshes.EVENTS[0], event, 3.0)
    order, limit = renyi.rdp_bound(3.0, ledger_refreshes.DELTA)
    assert (
        row["filter"] * renyi.rdp(event, order)
        <= limit
        < (row["filter"] + 1) * renyi.rdp(event, order)
    )
    joint = [
        accounting.epsilon(
            dpa.SelfComposedDpEvent(event, row["pld"] + more), ledger_refreshes.DELTA
        )
        for more in (0, 1)
    ]
    assert joint[0] <= 3.0 < joint[1]
    assert (row["filter"], row["naive"], row["pld"]) == (6, 3, 7)
    assert "| one Gaussian |" in ledger_refreshes.table(
        [
            row | {"event": name, "budget": budget}
            for name in ledger_refreshes.EVENTS
            for budget in ledger_refreshes.BUDGETS
        ]
    )
