"""Where a population stands: the same sums as the ledger's own, states, pace, a raised budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from budget_cases import START, WEEKLY, charge, opened, weekly

from pipeline.dp import renyi
from pipeline.ledger import Ledger
from pipeline.ledger.standing import Standing, balance_over_time, standings


def test_the_points_end_where_the_ledger_says_the_balance_is(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.db", one=3.0, other=10.0)
    charge(ledger, "one", 1, 2, 3)
    charge(ledger, "other", 1)
    ledger.commit("one-1")
    ledger.abandon("one-2", "a test", "tests")
    one, other = standings(ledger)
    for standing in (one, other):
        balance, last = ledger.balance(standing.population.name), standing.points[-1]
        assert standing.balance == balance
        assert (last.spent_rdp, last.share_spent) == pytest.approx(
            (balance.spent_rdp, balance.share_spent)
        )
        assert last.epsilon_spent == pytest.approx(balance.epsilon_spent)
        assert (last.limit_rdp, last.n_releases) == (balance.limit_rdp, balance.n_releases)
    assert one.states == {"reserved": 1, "released": 1, "abandoned": 1}
    assert [charge.state for charge in one.charges] == ["released", "abandoned", "reserved"]
    # an abandoned release stays charged
    assert [point.n_releases for point in one.points] == [0, 1, 2, 3]
    assert all(
        charge.rdp == pytest.approx(renyi.rdp(WEEKLY, one.population.order))
        for charge in one.charges
    )
    assert one.pld_epsilon == pytest.approx(ledger.pld_epsilon("one")) and [
        held.name for held in one.overlapping
    ] == ["one"]


def test_nothing_charged_yet(tmp_path: Path) -> None:
    [standing] = standings(opened(tmp_path / "ledger.db", empty=3.0))
    assert standing.charges == () and len(standing.points) == 1 and standing.runs_out(START) is None
    assert (standing.points[0].share_spent, standing.points[0].epsilon_spent) == (0.0, 0.0)


def paced(ledger: Ledger, weeks: int) -> Standing:
    """The standing after that many weekly releases."""
    charge(ledger, "one", *range(weeks))
    [standing] = standings(ledger)
    points = balance_over_time(weekly(ledger.entries("one")), standing.population)
    charges = tuple(
        replace(held, after=point) for held, point in zip(standing.charges, points[1:], strict=True)
    )
    return replace(standing, points=points, charges=charges)


def test_it_runs_out_when_weekly_releases_reach_the_limit(tmp_path: Path) -> None:
    standing = paced(opened(tmp_path / "ledger.db", one=3.0), 6)
    cost, balance = renyi.rdp(WEEKLY, standing.population.order), standing.balance
    weeks_left = (balance.limit_rdp - balance.spent_rdp) / cost
    last = standing.charges[-1].after.at
    out = standing.runs_out(last)
    assert out is not None and abs(out - (START + timedelta(weeks=6 + weeks_left))) < timedelta(
        minutes=1
    )
    assert standing.runs_out(last + timedelta(days=6)) == out
    slower = standing.runs_out(last + timedelta(weeks=20))  # nothing came for long
    assert slower is not None and slower > max(out, last + timedelta(weeks=20))


@pytest.mark.parametrize("weeks", [0, 1])
def test_without_two_releases_there_is_no_pace(tmp_path: Path, weeks: int) -> None:
    assert paced(opened(tmp_path / "ledger.db", one=3.0), weeks).runs_out(START) is None


def test_releases_of_one_minute_say_nothing_about_a_pace(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.db", one=3.0)
    charge(ledger, "one", 1, 2, 3)
    assert standings(ledger)[0].runs_out(START) is None


def test_a_raised_budget_counts_from_then_on(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.db", one=3.0)
    charge(ledger, "one", 1)
    raised = ledger.raise_budget("one", epsilon=4.0, reason="a test", by="tests")
    charge(ledger, "one", 2)
    [standing] = standings(ledger)
    points = standing.points
    assert [point.kind for point in points] == ["opened", "reserved", "raised", "reserved"]
    assert [point.epsilon_total for point in points] == [3.0, 3.0, 4.0, 4.0]
    assert (
        points[1].limit_rdp < points[2].limit_rdp == raised.limit_rdp
        and points[2].spent_rdp == points[1].spent_rdp
    )
    assert points[3].spent_rdp == pytest.approx(2 * points[1].spent_rdp)


def test_the_cohort_that_was_charged_most_is_where_a_population_stands(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.open_population(
        "two",
        universe="nobody",
        nominal_size=1000,
        epsilon=3.0,
        delta=1e-6,
        ceiling_epsilon=3.0,
        kind="simulated",
        reason="tests",
        by="tests",
        cohorts=("early", "late"),
    )
    for number, cohorts in enumerate((("early",), ("late",), ("late",), ())):
        ledger.reserve(
            f"two-{number}", "two", WEEKLY, by="tests", source_label="1", cohorts=cohorts
        )
    [standing] = standings(ledger)
    cost = renyi.rdp(WEEKLY, standing.population.order)
    assert [point.spent_rdp / cost for point in standing.points] == pytest.approx([0, 1, 1, 2, 3])
    assert [charge.cohorts for charge in standing.charges] == [("early",), ("late",), ("late",), ()]
    assert all(charge.rdp == pytest.approx(cost) for charge in standing.charges)
    day_apart = tuple(
        replace(held, after=replace(held.after, at=START + timedelta(days=number)))
        for number, held in enumerate(standing.charges)
    )
    # of two cohorts: the fullest one has no pace yet
    assert replace(standing, charges=day_apart[:2]).runs_out(START) is None


def test_a_broken_chain_is_not_reported_on(tmp_path: Path) -> None:
    import sqlite3

    ledger = opened(tmp_path / "ledger.db", one=3.0)
    charge(ledger, "one", 1)
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("DROP TRIGGER entry_is_never_changed")
        database.execute(
            "UPDATE entry SET content = replace(content, '6.0', '60.0') WHERE kind = 'reserved'"
        )
    with pytest.raises(ValueError, match="chain is broken"):
        standings(ledger)
