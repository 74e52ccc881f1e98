"""Charges by cohort: a patient is in one for life, so the cohort that was charged most counts
(privacy_rules.md 16).
"""

from __future__ import annotations

import pytest
from ledger_cases import OPEN, RELEASE, reserve

from pipeline.dp.renyi import rdp
from pipeline.ledger import BudgetExceeded, Ledger, ReservationConflict


@pytest.fixture
def ledger(where: str) -> Ledger:
    ledger = Ledger(where)
    ledger.open_population("trial", **OPEN, cohorts=["early", "late"])
    return ledger


def test_cohorts_compose_in_parallel_and_everybody_is_charged_where_none_is_named(
    ledger: Ledger,
) -> None:
    population = ledger.population("trial")
    cost, fits = rdp(RELEASE, population.order), ledger.quote("trial", RELEASE).how_many_fit
    for number in range(fits):
        reserve(ledger, f"e{number}", cohorts=["early"])
    with pytest.raises(BudgetExceeded):
        reserve(ledger, "e-more", cohorts=["early"])
    with pytest.raises(BudgetExceeded):
        reserve(ledger, "all")  # the early ones are among everybody
    with pytest.raises(BudgetExceeded):
        reserve(ledger, "both", cohorts=["late", "early"])
    reserve(ledger, "l0", cohorts=["late"])
    balance = ledger.balance("trial")
    assert balance.spent_by_cohort == {
        "early": pytest.approx(fits * cost),
        "late": pytest.approx(cost),
    }
    assert balance.spent_rdp == pytest.approx(fits * cost) and balance.more_like_last == fits - 1
    assert (
        ledger.quote("trial", RELEASE, ["late"]).how_many_fit,
        ledger.quote("trial", RELEASE).how_many_fit,
    ) == (fits - 1, 0)
    assert ledger.pld_epsilon("trial") <= 3.0


def test_a_charge_of_everybody_counts_for_each_cohort(ledger: Ledger) -> None:
    cost = rdp(RELEASE, ledger.population("trial").order)
    reserve(ledger, "all")
    reserve(ledger, "l0", cohorts=["late"])
    assert ledger.balance("trial").spent_by_cohort == {
        "early": pytest.approx(cost),
        "late": pytest.approx(2 * cost),
    }


def test_an_old_or_foreign_register_charges_nothing(ledger: Ledger) -> None:
    reserve(ledger, "r1", cohorts=["early"], register=["a", "b"])
    reserve(ledger, "r2", cohorts=["early"], register=["a", "b", "c"])
    head = ledger.chain_head()
    for marks in (["a", "b"], ["x"], []):
        with pytest.raises(ValueError, match="an old copy, or another one"):
            reserve(ledger, "r3", cohorts=["late"], register=marks)
    assert ledger.chain_head() == head
    reserve(ledger, "r3", cohorts=["late"], register=["a", "b", "c", "d"])


def test_cohorts_of_confidential_people_need_a_proof_of_lasting_ids(where: str) -> None:
    with pytest.raises(ValueError, match="same id at every refresh"):
        Ledger(where).open_population(
            "trial", **(OPEN | {"kind": "confidential"}), cohorts=["a", "b"]
        )


def test_a_release_id_stands_for_its_cohorts(ledger: Ledger) -> None:
    first = reserve(ledger, "r1", cohorts=["late", "early", "late"])
    assert (
        first.cohorts == ("early", "late")
        and reserve(ledger, "r1", cohorts=["early", "late"]) == first
    )
    with pytest.raises(
        ReservationConflict, match="charged to the cohorts early, late, asked for everybody"
    ):
        reserve(ledger, "r1")


@pytest.mark.parametrize("named", [["nobody"], ["early", "nobody"]])
def test_unknown_cohorts_are_refused(ledger: Ledger, named: list[str]) -> None:
    head = ledger.chain_head()
    with pytest.raises(ValueError, match=r"has no cohort nobody \(it has: early, late\)"):
        reserve(ledger, "r1", cohorts=named)
    assert ledger.chain_head() == head


@pytest.mark.parametrize("cohorts", [["one"], ["same", "same"], ["", "b"]])
def test_impossible_cohorts_are_refused(where: str, cohorts: list[str]) -> None:
    with pytest.raises(ValueError, match="at least two different names"):
        Ledger(where).open_population("trial", **OPEN, cohorts=cohorts)
    assert Ledger(where).entries() == []


def test_opening_again_with_other_cohorts_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="is open with cohorts"):
        ledger.open_population("trial", **OPEN)
