"""Whose budgets add up for one patient: populations overlap unless proved disjoint
(privacy_rules.md 16).
"""

from pathlib import Path

import pytest

from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.released.privacy_facts import privacy_facts

OPEN = {
    "universe": "people of England",
    "nominal_size": 5000,
    "epsilon": 3.0,
    "delta": 1e-6,
    "ceiling_epsilon": 5.0,
    "kind": "confidential",
    "reason": "tests",
    "by": "tester",
}
PROOF = (
    "The one holds people born before 1950 only, the other people born from 1950 on, by the"
    " registry's own date of birth."
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.open_population("first", **OPEN)
    return ledger


def overlapping(ledger: Ledger, name: str) -> list[str]:
    return [population.name for population in ledger.overlapping(name)]


def test_confidential_populations_overlap_whatever_their_universe_is_called(ledger: Ledger) -> None:
    ledger.open_population(
        "second", **(OPEN | {"universe": "people of England, ages 20 and over", "epsilon": 4.0})
    )
    assert overlapping(ledger, "first") == overlapping(ledger, "second") == ["first", "second"]
    ledger.reserve("r1", "first", DiscreteGaussianDpEvent(8.0), by="tester", source_label="May")
    told = privacy_facts(ledger, "r1")
    assert (told["overlapping_populations"], told["epsilon_total_of_overlapping"]) == (
        ["first", "second"],
        7.0,
    )
    assert told["epsilon_ceiling_of_overlapping"] == 10.0
    assert told["delta_total_of_overlapping"] == pytest.approx(2e-6)
    # charges stay apart; only the statement adds up
    assert ledger.balance("second").n_releases == 0


def test_a_proof_takes_one_out_of_the_sum_in_both_directions(ledger: Ledger) -> None:
    ledger.open_population("second", **(OPEN | {"reason": PROOF}), disjoint_from=["first"])
    ledger.open_population("third", **OPEN)
    assert overlapping(ledger, "first") == ["first", "third"]
    assert overlapping(ledger, "second") == ["second", "third"]
    assert ledger.entries("second")[0].facts["reason"] == PROOF
    with pytest.raises(ValueError, match="is open with disjoint_from"):
        ledger.open_population("second", **OPEN)


@pytest.mark.parametrize(
    ("changes", "names", "message"),
    [
        ({"reason": "disjoint"}, ["first"], "needs a proof"),
        ({"reason": PROOF}, ["nobody"], "not open"),
    ],
)
def test_no_proof_no_disjointness(
    ledger: Ledger, changes: dict[str, str], names: list[str], message: str
) -> None:
    head = ledger.chain_head()
    with pytest.raises(ValueError, match=message):
        ledger.open_population("second", **(OPEN | changes), disjoint_from=names)
    assert ledger.chain_head() == head


def test_public_and_simulated_people_are_of_their_own_universe(ledger: Ledger) -> None:
    for name, kind, universe in (
        ("a", "public", "census"),
        ("b", "simulated", "census"),
        ("c", "public", "others"),
    ):
        ledger.open_population(name, **(OPEN | {"kind": kind, "universe": universe}))
    assert [overlapping(ledger, name) for name in ("a", "b", "c", "first")] == [
        ["a", "b"],
        ["a", "b"],
        ["c"],
        ["first"],
    ]
