"""The ledger: idempotent, refuses without a trace, never over budget with several processes, tampering found."""
import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import pytest

from pipeline.dp import accounting
from pipeline.dp.accounting import calibrate, epsilon_of_rdp, rdp
from pipeline.dp.events import DiscreteGaussianDpEvent, canonical_string
from pipeline.ledger import Balance, BudgetExceeded, Ledger, ReservationConflict

OPEN = {"universe": "people who do not exist", "nominal_size": 5000, "epsilon": 3.0, "delta": 1e-6, "ceiling_epsilon": 5.0,
        "kind": "simulated", "reason": "tests", "by": "tester"}
COUNTS = DiscreteGaussianDpEvent(8.0)
STEP = dpa.PoissonSampledDpEvent(0.1, dpa.GaussianDpEvent(2.0))
RELEASE = dpa.ComposedDpEvent([COUNTS, COUNTS, dpa.SelfComposedDpEvent(STEP, 20)])


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "state" / "ledger.db")
    ledger.open_population("trial", **OPEN)
    return ledger


def reserve(ledger: Ledger, release_id: str, event: dpa.DpEvent = RELEASE, **changes: str) -> object:
    return ledger.reserve(release_id, **({"population": "trial", "event": event, "by": "tester", "source_label": "May"} | changes))


def test_opening_twice_changes_nothing(ledger: Ledger) -> None:
    head = ledger.head()
    again = ledger.open_population("trial", **(OPEN | {"reason": "another", "by": "somebody else"}))
    assert ledger.head() == head
    assert (again.order, again.limit_rdp) == accounting.rdp_bound(3.0, 1e-6)
    assert ledger.populations() == [again] == [ledger.population("trial")]


@pytest.mark.parametrize("change", [{"epsilon": 4.0}, {"delta": 1e-7}, {"nominal_size": 6000}, {"universe": "others"}, {"kind": "public"}])
def test_opening_with_another_declaration_is_refused(ledger: Ledger, change: dict[str, object]) -> None:
    head = ledger.head()
    with pytest.raises(ValueError, match="is open with"):
        ledger.open_population("trial", **(OPEN | change))
    assert ledger.head() == head


@pytest.mark.parametrize(("change", "message"), [
    ({"delta": 2e-6}, "at most 1e-06"), ({"nominal_size": 2_000_000, "delta": 1e-7}, "at most 5e-08"), ({"kind": "secret"}, "kind must be"),
    ({"ceiling_epsilon": 2.0}, "below epsilon"), ({"nominal_size": 0}, "nominal_size"), ({"universe": " "}, "universe"), ({"by": ""}, "needs a name"),
    ({"epsilon": 0.0}, "epsilon"), ({"delta": 0.0}, "delta"), ({"reason": ""}, "reason")])
def test_impossible_populations_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with pytest.raises(ValueError, match=message):
        ledger.open_population("trial", **(OPEN | change))
    assert ledger.entries() == []


def test_a_release_is_charged_once(ledger: Ledger) -> None:
    first = reserve(ledger, "r1")
    balance, head = ledger.balance("trial"), ledger.head()
    same = dpa.ComposedDpEvent([dpa.SelfComposedDpEvent(STEP, 20), dpa.SelfComposedDpEvent(COUNTS, 2)])  # the same in another order
    assert reserve(ledger, "r1", same) == first == ledger.reservation("r1")
    assert ledger.balance("trial") == balance
    assert ledger.head() == head
    population = ledger.population("trial")
    assert balance == Balance(population="trial", order=population.order, spent_rdp=pytest.approx(rdp(RELEASE, population.order)),
                              limit_rdp=population.limit_rdp, epsilon_total=3.0, delta=1e-6, n_releases=1,
                              epsilon_spent=pytest.approx(epsilon_of_rdp(population.order, rdp(RELEASE, population.order), 1e-6)),
                              more_like_last=int((population.limit_rdp - balance.spent_rdp) / balance.spent_rdp))
    assert ledger.reservation("r1").epsilon == pytest.approx(accounting.epsilon(RELEASE, 1e-6))


@pytest.mark.parametrize(("event", "changes", "message"), [
    (dpa.ComposedDpEvent([COUNTS, COUNTS, dpa.SelfComposedDpEvent(STEP, 21)]), {}, "another mechanism"),
    (DiscreteGaussianDpEvent(7.0), {}, "another mechanism"), (RELEASE, {"source_label": "June"}, "reserved for the source 'May'"),
    (RELEASE, {"population": "second"}, "charge of population trial")])
def test_an_id_stands_for_one_thing(ledger: Ledger, event: dpa.DpEvent, changes: dict[str, str], message: str) -> None:
    ledger.open_population("second", **OPEN)
    reserve(ledger, "r1")
    head = ledger.head()
    with pytest.raises(ReservationConflict, match=message):
        reserve(ledger, "r1", event, **changes)
    assert ledger.head() == head


def test_the_states_of_a_release(ledger: Ledger) -> None:
    assert ledger.state("r1") is None
    reserve(ledger, "r1")
    assert ledger.state("r1") == "reserved"
    ledger.commit("r1", {"manifest": "abc"})
    head = ledger.head()
    ledger.commit("r1", {"manifest": "abc"})
    assert (ledger.state("r1"), ledger.head()) == ("released", head)
    with pytest.raises(ReservationConflict, match="used before: it is released"):
        reserve(ledger, "r1")
    with pytest.raises(ReservationConflict, match="already released"):
        ledger.commit("r1", {"manifest": "other"})
    with pytest.raises(ReservationConflict, match="already released"):
        ledger.abandon("r1", "too late", "tester")
    with pytest.raises(ValueError, match="never reserved"):
        ledger.commit("r2")
    assert ledger.head() == head


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
    head, entries = ledger.head(), ledger.entries()
    with pytest.raises(BudgetExceeded, match="nothing was charged") as refusal:
        reserve(ledger, "last")
    left = population.limit_rdp - ledger.balance("trial").spent_rdp
    for told in (f"{rdp(RELEASE, population.order):.4f}", f"{left:.4f} left", "would still fit", "What to do"):
        assert told in str(refusal.value)
    assert (ledger.head(), ledger.entries(), ledger.state("last")) == (head, entries, None)
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
    """Rule 14: a PLD over all releases is smaller than the odometer, and must not admit."""
    fill(ledger)
    assert ledger.pld_epsilon("trial") < 3.0
    with pytest.raises(BudgetExceeded):
        reserve(ledger, "one-more")


def test_a_quote_records_nothing(ledger: Ledger) -> None:
    head = ledger.head()
    quote = ledger.quote("trial", RELEASE)
    assert quote.epsilon == pytest.approx(accounting.epsilon(RELEASE, 1e-6))
    assert quote.left_rdp == pytest.approx(ledger.population("trial").limit_rdp)
    assert ledger.head() == head
    assert ledger.quote("trial", DiscreteGaussianDpEvent(0.5)).how_many_fit == 0


def test_the_budget_of_ten_fits_about_fifty_releases_of_one(ledger: Ledger) -> None:
    ledger.open_population("usual", **(OPEN | {"epsilon": 10.0, "ceiling_epsilon": 10.0}))
    _, event = calibrate(lambda scale: DiscreteGaussianDpEvent(4 * scale), 1.0, 1e-6)
    assert 45 <= ledger.quote("usual", event).how_many_fit <= 55


@pytest.mark.parametrize(("population", "event", "message"), [
    ("nobody", RELEASE, "not open.*open: trial"), ("trial", dpa.LaplaceDpEvent(1.0), "does not know"),
    ("trial", dpa.ComposedDpEvent([]), "empty"), ("trial", dpa.NonPrivateDpEvent(), "does not know")])
def test_what_cannot_be_charged_is_refused(ledger: Ledger, population: str, event: dpa.DpEvent, message: str) -> None:
    head = ledger.head()
    with pytest.raises(ValueError, match=message):
        reserve(ledger, "r1", event, population=population)
    assert ledger.head() == head


def test_the_mechanism_is_stored_whole(ledger: Ledger) -> None:
    reserve(ledger, "r1")
    assert canonical_string(ledger.reservation("r1").event) == canonical_string(RELEASE)
    assert ledger.reservation("r2") is None
    exported = ledger.export()
    assert exported["head"] == ledger.head() == exported["entries"][-1]["hash"]
    assert exported["entries"][1]["content"]["source_label"] == "May"


def test_reading_a_ledger_that_is_not_there_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.entries() == [] and ledger.populations() == []
    ledger.verify()
    with pytest.raises(ValueError, match="open: none"):
        ledger.population("trial")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_ledger_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"something else entirely, long enough to be read as a page" * 100)
    with pytest.raises(ValueError, match="restore it from the backup"):
        Ledger(tmp_path / "ledger.db").open_population("trial", **OPEN)


# -- tampering ---------------------------------------------------------------------------------------------------------------------------


def tamper(ledger: Ledger, *statements: str) -> None:
    """As somebody with the file and without scruples: triggers dropped first."""
    with sqlite3.connect(ledger._chain._path) as connection:
        connection.executescript("DROP TRIGGER entry_is_never_changed; DROP TRIGGER entry_is_never_deleted;" + "".join(statements))
    connection.close()


@pytest.mark.parametrize("statement", ["UPDATE entry SET by = 'nobody'", "DELETE FROM entry", "UPDATE entry SET content = '{}' WHERE number = 2"])
def test_entries_cannot_be_changed_through_the_file(ledger: Ledger, statement: str) -> None:
    reserve(ledger, "r1")
    with sqlite3.connect(ledger._chain._path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    ledger.verify()


@pytest.mark.parametrize(("statement", "message"), [
    ("UPDATE entry SET content = replace(content, '8.0', '80.0') WHERE number = 3;", "broken at entry 3 .*content was changed"),
    ("UPDATE entry SET release_id = 'r9' WHERE number = 2;", "broken at entry 2"),
    ("DELETE FROM entry WHERE number = 3;", "entry 3 is missing"), ("DELETE FROM entry WHERE number = 1;", "entry 1 is missing"),
    ("DELETE FROM entry WHERE number = 2; UPDATE entry SET number = number - 1 WHERE number > 2;", "broken at entry 2"),
    ("UPDATE entry SET at = '2020-01-01' WHERE number = 4;", "broken at entry 4")])
def test_tampering_is_found_and_stops_the_ledger(ledger: Ledger, statement: str, message: str) -> None:
    for release_id in ("r1", "r2", "r3"):
        reserve(ledger, release_id)
    tamper(ledger, statement)
    with pytest.raises(ValueError, match=message):
        ledger.verify()
    with pytest.raises(ValueError, match=message):
        reserve(ledger, "r4")  # fails closed


def test_a_cut_off_end_is_found_by_a_noted_head(ledger: Ledger) -> None:
    heads = [ledger.head()]
    for release_id in ("r1", "r2"):
        reserve(ledger, release_id)
        heads.append(ledger.head())
    ledger.verify(*heads)
    tamper(ledger, "DELETE FROM entry WHERE number = 3;")
    ledger.verify(*heads[:2])  # the chain alone cannot show it
    with pytest.raises(ValueError, match="cut off"):
        ledger.verify(*heads)


def test_a_rewritten_history_is_found_by_a_noted_head(ledger: Ledger, tmp_path: Path) -> None:
    reserve(ledger, "r1")
    noted = ledger.head()
    forged = Ledger(tmp_path / "forged.db")  # a whole new chain, well-formed in itself
    forged.open_population("trial", **OPEN)
    reserve(forged, "r1", DiscreteGaussianDpEvent(1000.0))
    forged.verify()
    with pytest.raises(ValueError, match="no longer in the ledger"):
        forged.verify(noted)


# -- several processes -------------------------------------------------------------------------------------------------------------------


def _race(path: Path, name: str, start: float, queue: "multiprocessing.Queue[tuple[str, bool]]") -> None:
    time.sleep(max(0.0, start - time.time()))
    try:
        reserve(Ledger(path), name)
        queue.put((name, True))
    except BudgetExceeded:
        queue.put((name, False))


def race(path: Path, names: list[str]) -> dict[str, bool]:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[tuple[str, bool]] = context.Queue()
    start = time.time() + 0.5
    processes = [context.Process(target=_race, args=(path, name, start, queue)) for name in names]
    for process in processes:
        process.start()
    outcome = dict(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    return outcome


def test_two_processes_cannot_both_take_the_last_of_the_budget(ledger: Ledger) -> None:
    path = ledger._chain._path
    fits = ledger.quote("trial", RELEASE).how_many_fit
    for n in range(fits - 1):
        reserve(ledger, f"before-{n}")
    outcome = race(path, [f"racer-{n}" for n in range(4)])
    assert sum(outcome.values()) == 1
    balance = ledger.balance("trial")
    assert balance.spent_rdp <= balance.limit_rdp
    ledger.verify()


def test_the_same_release_from_two_processes_is_charged_once(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[tuple[str, bool]] = context.Queue()
    start = time.time() + 0.3
    processes = [context.Process(target=_race, args=(ledger._chain._path, "same", start, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    assert all(queue.get(timeout=60)[1] for _ in processes)
    for process in processes:
        process.join()
    assert ledger.balance("trial").n_releases == 1


def _reserve_forever(path: Path) -> None:
    rng = np.random.default_rng()
    for n in range(10_000):
        reserve(Ledger(path), f"{os.getpid()}-{n}", DiscreteGaussianDpEvent(float(rng.integers(500, 600))))


def test_kill_9_at_any_moment_leaves_a_whole_ledger(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    for wait in (0.12, 0.2, 0.31):
        workers = [context.Process(target=_reserve_forever, args=(ledger._chain._path,)) for _ in range(2)]
        for worker in workers:
            worker.start()
        time.sleep(wait)
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
        ledger.verify()
    reserve(ledger, "after")
    assert ledger.balance("trial").n_releases == len(ledger.entries("trial")) - 1
    assert ledger.balance("trial").n_releases > 1


def test_an_adaptive_adversary_never_passes_the_limit(ledger: Ledger) -> None:
    """The next release's noise depends on what came before, here at random; the sum at the fixed order holds."""
    rng = np.random.default_rng(7)
    population = ledger.population("trial")
    for n in range(60):
        sigma = float(np.exp(rng.uniform(0.5, 5)))
        event = dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(0.05, dpa.GaussianDpEvent(sigma)), 10) if n % 3 else DiscreteGaussianDpEvent(sigma)
        try:
            reserve(ledger, f"a{n}", event)
        except BudgetExceeded:
            continue
    charged = [ledger.reservation(f"a{n}") for n in range(60)]
    spent = sum(rdp(held.event, population.order) for held in charged if held)
    assert 0.5 * population.limit_rdp < spent <= population.limit_rdp
    assert epsilon_of_rdp(population.order, spent, 1e-6) <= 3.0
