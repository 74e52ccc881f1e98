"""Whatever did not appear counts against a population's few refusals, on a file and on PostgreSQL:
a no, a no before the charge, and no answer at all.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ledger_cases import OPEN, RELEASE, opened
from ledger_cases import reserve as reserved

from pipeline import params
from pipeline.catalog import project_root
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.evaluation import budget_page
from pipeline.ledger import Ledger, ReservationConflict, standings
from pipeline.ledger.refusals import MOST_ABANDONED

SMALL = DiscreteGaussianDpEvent(1000.0)


@pytest.fixture
def ledger(where: str) -> Ledger:
    return opened(where)


def reserve(ledger: Ledger, release_id: str, **changes: object) -> object:
    return reserved(ledger, release_id, SMALL, **changes)


def refused(ledger: Ledger, release_id: str) -> None:
    reserve(ledger, release_id)
    ledger.abandon(release_id, "refused", "custodian")
    ledger.abandon(release_id, "refused", "custodian")


def unanswered(ledger: Ledger, release_id: str) -> None:
    reserve(ledger, release_id)
    ledger.begin_training(release_id, "tester", release_id)


def declined(ledger: Ledger, release_id: str) -> None:
    ledger.decline(release_id, "trial", "custodian")
    ledger.decline(release_id, "trial", "custodian")


WAYS = (refused, unanswered, declined)


@pytest.mark.parametrize("first", range(len(WAYS)))
def test_five_releases_may_fail_to_appear_however_they_do(ledger: Ledger, first: int) -> None:
    for number in range(MOST_ABANDONED):
        WAYS[(first + number) % len(WAYS)](ledger, f"r{number}")
    head = ledger.chain_head()
    with pytest.raises(ValueError, match=r"5 releases of population trial were.*What to do"):
        reserve(ledger, "one-more")
    assert ledger.chain_head() == head
    ledger.open_population("second", **OPEN)
    reserve(ledger, "second-1", population="second")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_one_way_alone_fills_the_cap(ledger: Ledger, way) -> None:
    for number in range(MOST_ABANDONED):
        way(ledger, f"r{number}")
    with pytest.raises(ValueError, match="the most there may be"):
        reserve(ledger, "one-more")


def test_what_began_goes_on_and_stops_counting_when_it_is_published(ledger: Ledger) -> None:
    for number in range(MOST_ABANDONED):
        unanswered(ledger, f"r{number}")
    with pytest.raises(ValueError, match="publish r0, r1, r2, r3, r4, which began training"):
        reserve(ledger, "one-more")
    reserve(ledger, "r3")  # a retry
    ledger.begin_training("r3", "tester", "r3")
    ledger.commit("r3")
    reserve(ledger, "one-more")


def test_twelve_reserved_ahead_of_their_trainings_do_not_pass_the_cap(ledger: Ledger) -> None:
    for number in range(12):
        reserve(ledger, f"r{number}")
    for number in range(MOST_ABANDONED):
        ledger.begin_training(f"r{number}", "tester", "token")
    head = ledger.chain_head()
    for number in range(MOST_ABANDONED, 12):
        with pytest.raises(ValueError, match="began training and did not appear"):
            ledger.begin_training(f"r{number}", "tester", "token")
    assert ledger.chain_head() == head
    ledger.commit("r0")
    ledger.begin_training("r11", "tester", "token")


def test_a_declined_release_is_never_charged(ledger: Ledger) -> None:
    declined(ledger, "r1")
    assert [entry.kind for entry in ledger.entries()] == ["opened", "declined"]
    assert ledger.state("r1") == "declined" and ledger.reservation("r1") is None
    assert ledger.entries()[-1].facts == {"reason": "declined"}
    head = ledger.chain_head()
    with pytest.raises(ReservationConflict, match=r"declined by a person.*new release id"):
        reserve(ledger, "r1")
    with pytest.raises(ValueError, match="not open"):
        ledger.decline("r2", "nobody", "custodian")
    ledger.open_population("second", **OPEN)
    head = ledger.chain_head()
    for ask in (
        lambda: ledger.decline("r1", "second", "custodian"),
        lambda: reserve(ledger, "r1", population="second"),
    ):
        with pytest.raises(ReservationConflict, match="declined"):
            ask()
    for ask in (
        lambda: ledger.begin_training("r1", "tester", "token"),
        lambda: ledger.commit("r1"),
        lambda: ledger.abandon("r1", "refused", "custodian"),
        lambda: ledger.decline("r3", "trial", " "),
    ):
        with pytest.raises(ValueError, match=r"declined|never reserved|needs a name"):
            ask()
    assert ledger.chain_head() == head


@pytest.mark.parametrize("state", ["reserved", "training", "released", "abandoned"])
def test_a_no_before_the_charge_comes_too_late_after_it(ledger: Ledger, state: str) -> None:
    reserve(ledger, "r1")
    if state == "training":
        ledger.begin_training("r1", "tester", "token")
    elif state == "released":
        ledger.commit("r1")
    elif state == "abandoned":
        ledger.abandon("r1", "refused", "custodian")
    head = ledger.chain_head()
    with pytest.raises(ReservationConflict, match="too late"):
        ledger.decline("r1", "trial", "custodian")
    assert ledger.chain_head() == head


def test_a_declined_release_leaves_standing_and_reports_as_they_are(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    reserved(ledger, "r1", RELEASE)
    ledger.commit("r1")
    before, states = ledger.balance("trial"), standings(ledger)[0].states
    ledger.decline("r2", "trial", "custodian")
    [standing] = standings(ledger)
    assert ledger.balance("trial") == before and standing.states == states
    assert [charge.release_id for charge in standing.charges] == ["r1"]
    settings = params.load(project_root() / "params.yaml").privacy
    budget_page.write(
        tmp_path / "budget", [standing], ledger.chain_head(), datetime.now(UTC), settings
    )
    exported = ledger.export()["entries"][-1]
    assert (exported["kind"], exported["content"]["reason"]) == ("declined", "declined")
    assert "salt" in exported["content"] and json.dumps(exported)
    ledger.verify()
