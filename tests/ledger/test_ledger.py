"""The ledger, on a file and on PostgreSQL: idempotent, refuses without a trace, changed by entries
only.
"""

from pathlib import Path

import dp_accounting as dpa
import pytest
from ledger_cases import COUNTS, OPEN, RELEASE, STEP, opened, reserve

from pipeline.dp import accounting, renyi
from pipeline.dp.accounting import calibrate
from pipeline.dp.events import DiscreteGaussianDpEvent, canonical_string
from pipeline.dp.renyi import epsilon_of_rdp, rdp
from pipeline.ledger import Balance, BudgetExceeded, Ledger, ReservationConflict


@pytest.fixture
def ledger(where: str) -> Ledger:
    return opened(where)


def test_opening_twice_changes_nothing(ledger: Ledger) -> None:
    head = ledger.chain_head()
    again = ledger.open_population("trial", **(OPEN | {"reason": "another", "by": "somebody else"}))
    assert ledger.chain_head() == head
    assert (again.order, again.limit_rdp) == renyi.rdp_bound(3.0, 1e-6)
    assert ledger.populations() == [again] == [ledger.population("trial")]


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": 4.0},
        {"delta": 1e-7},
        {"nominal_size": 6000},
        {"universe": "others"},
        {"kind": "public"},
    ],
)
def test_opening_with_another_declaration_is_refused(
    ledger: Ledger, change: dict[str, object]
) -> None:
    head = ledger.chain_head()
    with pytest.raises(ValueError, match="is open with"):
        ledger.open_population("trial", **(OPEN | change))
    assert ledger.chain_head() == head


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delta": 2e-6}, "at most 1e-06"),
        ({"nominal_size": 2_000_000, "delta": 1e-7}, "at most 5e-08"),
        ({"kind": "secret"}, "kind must be"),
        ({"ceiling_epsilon": 2.0}, "below epsilon"),
        ({"nominal_size": 0}, "nominal_size"),
        ({"universe": " "}, "universe"),
        ({"by": ""}, "needs a name"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"reason": ""}, "reason"),
    ],
)
def test_impossible_populations_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with pytest.raises(ValueError, match=message):
        ledger.open_population("trial", **(OPEN | change))
    assert ledger.entries() == []


def test_a_release_is_charged_once(ledger: Ledger) -> None:
    first = reserve(ledger, "r1")
    balance, head = ledger.balance("trial"), ledger.chain_head()
    # the same in another order
    same = dpa.ComposedDpEvent(
        [dpa.SelfComposedDpEvent(STEP, 20), dpa.SelfComposedDpEvent(COUNTS, 2)]
    )
    assert reserve(ledger, "r1", same) == first == ledger.reservation("r1")
    assert ledger.balance("trial") == balance
    assert ledger.chain_head() == head
    population = ledger.population("trial")
    assert balance == Balance(
        population="trial",
        order=population.order,
        spent_rdp=pytest.approx(rdp(RELEASE, population.order)),
        limit_rdp=population.limit_rdp,
        epsilon_total=3.0,
        delta=1e-6,
        n_releases=1,
        epsilon_spent=pytest.approx(
            epsilon_of_rdp(population.order, rdp(RELEASE, population.order), 1e-6)
        ),
        more_like_last=int((population.limit_rdp - balance.spent_rdp) / balance.spent_rdp),
    )
    assert ledger.reservation("r1").epsilon == pytest.approx(accounting.epsilon(RELEASE, 1e-6))


@pytest.mark.parametrize(
    ("event", "changes", "message"),
    [
        (
            dpa.ComposedDpEvent([COUNTS, COUNTS, dpa.SelfComposedDpEvent(STEP, 21)]),
            {},
            "another mechanism",
        ),
        (DiscreteGaussianDpEvent(7.0), {}, "another mechanism"),
        (RELEASE, {"source_label": "June"}, "reserved for the source 'May'"),
        (RELEASE, {"population": "second"}, "charge of population trial"),
    ],
)
def test_an_id_stands_for_one_thing(
    ledger: Ledger, event: dpa.DpEvent, changes: dict[str, str], message: str
) -> None:
    ledger.open_population("second", **OPEN)
    reserve(ledger, "r1")
    head = ledger.chain_head()
    with pytest.raises(ReservationConflict, match=message):
        reserve(ledger, "r1", event, **changes)
    assert ledger.chain_head() == head


def test_the_states_of_a_release(ledger: Ledger) -> None:
    assert ledger.state("r1") is None
    reserve(ledger, "r1")
    assert ledger.state("r1") == "reserved"
    ledger.commit("r1", {"manifest": "abc"})
    head = ledger.chain_head()
    ledger.commit("r1", {"manifest": "abc"})
    assert (ledger.state("r1"), ledger.chain_head()) == ("released", head)
    with pytest.raises(ReservationConflict, match="used before: it is released"):
        reserve(ledger, "r1")
    with pytest.raises(ReservationConflict, match="already released"):
        ledger.commit("r1", {"manifest": "other"})
    with pytest.raises(ReservationConflict, match="already released"):
        ledger.abandon("r1", "too late", "tester")
    with pytest.raises(ValueError, match="never reserved"):
        ledger.commit("r2")
    assert ledger.chain_head() == head


def test_an_abandoned_release_stays_charged(ledger: Ledger) -> None:
    reserve(ledger, "r1")
    spent = ledger.balance("trial").spent_rdp
    ledger.abandon("r1", "the custodian refused", "custodian")
    ledger.abandon("r1", "the custodian refused", "custodian")
    assert ledger.state("r1") == "abandoned"
    assert ledger.balance("trial").spent_rdp == spent > 0
    with pytest.raises(ReservationConflict, match="abandoned"):
        reserve(ledger, "r1")
    with pytest.raises(ReservationConflict, match="already abandoned"):
        ledger.commit("r1")
    with pytest.raises(ValueError, match="needs a reason"):
        ledger.abandon("r1", "", "custodian")


def fill(ledger: Ledger) -> int:
    """Reserve until refused; how many fitted."""
    for n in range(1000):
        try:
            reserve(ledger, f"fill-{n}")
        except BudgetExceeded:
            return n
    raise AssertionError("the budget never ended")


def test_the_filter_ends_at_the_limit_and_a_refusal_leaves_no_trace(ledger: Ledger) -> None:
    population = ledger.population("trial")
    expected = int(population.limit_rdp / rdp(RELEASE, population.order))
    assert ledger.quote("trial", RELEASE).how_many_fit == expected > 2
    assert fill(ledger) == expected
    head, entries = ledger.chain_head(), ledger.entries()
    with pytest.raises(BudgetExceeded, match="nothing was charged") as refusal:
        reserve(ledger, "last")
    left = population.limit_rdp - ledger.balance("trial").spent_rdp
    for told in (
        f"{rdp(RELEASE, population.order):.4f}",
        f"{left:.4f} left",
        "would still fit",
        "What to do",
    ):
        assert told in str(refusal.value)
    assert (ledger.chain_head(), ledger.entries(), ledger.state("last")) == (head, entries, None)
    assert ledger.balance("trial").more_like_last == 0
    assert ledger.balance("trial").epsilon_spent <= 3.0
    reserve(ledger, "small", DiscreteGaussianDpEvent(1000.0))  # what still fits is admitted
    ledger.verify()


def test_what_the_refusal_advises_does_fit(ledger: Ledger) -> None:
    fill(ledger)
    with pytest.raises(BudgetExceeded) as refusal:
        reserve(ledger, "last")
    advised = float(str(refusal.value).split("an epsilon of about ")[1].split()[0])
    _, event = calibrate(lambda scale: dpa.GaussianDpEvent(scale), advised, 1e-6)
    reserve(ledger, "advised", event)


def test_the_filter_sums_at_one_order_where_the_pld_sum_would_admit_more(ledger: Ledger) -> None:
    """Privacy rule 14: a PLD over all releases is smaller than the odometer, and must not admit."""
    fill(ledger)
    assert ledger.pld_epsilon("trial") < 3.0
    with pytest.raises(BudgetExceeded):
        reserve(ledger, "one-more")


def test_one_charge_pays_for_one_set_of_measurements(ledger: Ledger) -> None:
    reserve(ledger, "r1")
    ledger.begin_training("r1", "here", "one token")
    head = ledger.chain_head()
    ledger.begin_training("r1", "here", "one token")
    with pytest.raises(ValueError, match="another charge"):
        ledger.begin_training("r1", "another host", "another token")
    assert ledger.chain_head() == head and ledger.has_training_begun("r1")


def test_a_quote_records_nothing(ledger: Ledger) -> None:
    head = ledger.chain_head()
    quote = ledger.quote("trial", RELEASE)
    assert quote.epsilon == pytest.approx(accounting.epsilon(RELEASE, 1e-6))
    assert quote.left_rdp == pytest.approx(ledger.population("trial").limit_rdp)
    assert ledger.chain_head() == head
    assert ledger.quote("trial", DiscreteGaussianDpEvent(0.5)).how_many_fit == 0


def test_the_budget_of_ten_fits_about_fifty_releases_of_one(ledger: Ledger) -> None:
    ledger.open_population("usual", **(OPEN | {"epsilon": 10.0, "ceiling_epsilon": 10.0}))
    _, event = calibrate(lambda scale: DiscreteGaussianDpEvent(4 * scale), 1.0, 1e-6)
    assert 45 <= ledger.quote("usual", event).how_many_fit <= 55


@pytest.mark.parametrize(
    ("population", "event", "message"),
    [
        ("nobody", RELEASE, "not open.*open: trial"),
        ("trial", dpa.LaplaceDpEvent(1.0), "does not know"),
        ("trial", dpa.ComposedDpEvent([]), "empty"),
        ("trial", dpa.GaussianDpEvent(0.02), "no finite epsilon"),
        ("trial", dpa.NonPrivateDpEvent(), "does not know"),
    ],
)
def test_what_cannot_be_charged_is_refused(
    ledger: Ledger, population: str, event: dpa.DpEvent, message: str
) -> None:
    head = ledger.chain_head()
    with pytest.raises(ValueError, match=message):
        reserve(ledger, "r1", event, population=population)
    assert ledger.chain_head() == head


def test_the_mechanism_is_stored_whole(ledger: Ledger) -> None:
    reserve(ledger, "r1")
    assert canonical_string(ledger.reservation("r1").event) == canonical_string(RELEASE)
    assert ledger.reservation("r2") is None
    exported = ledger.export()
    assert exported["head"] == ledger.chain_head() == exported["entries"][-1]["hash"]
    assert exported["entries"][1]["content"]["source_label"] == "May"


def test_reading_a_ledger_that_is_not_there_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.entries() == [] and ledger.populations() == []
    ledger.verify()
    with pytest.raises(ValueError, match="open: none"):
        ledger.population("trial")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_ledger_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(
        b"something else entirely, long enough to be read as a page" * 100
    )
    with pytest.raises(ValueError, match="restore it from the backup"):
        Ledger(tmp_path / "ledger.db").open_population("trial", **OPEN)
