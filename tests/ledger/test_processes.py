"""Several processes, or hosts, on one ledger: never over budget, no charge lost, whole after `kill
-9`.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest
from ledger_cases import RELEASE, opened, reserve

from audit.storm import QUICK, WHOLE, storm
from pipeline.ledger import BudgetExceeded, Ledger

STALL_SECONDS = 900  # for the next answer: only a hang reaches it


def _race(
    where: str, name: str, start: float, queue: multiprocessing.Queue[tuple[str, bool]]
) -> None:
    time.sleep(max(0.0, start - time.time()))
    try:
        reserve(Ledger(where), name)
        queue.put((name, True))
    except BudgetExceeded:
        queue.put((name, False))


def race(where: str, names: list[str]) -> list[tuple[str, bool]]:
    """What each process was told."""
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[tuple[str, bool]] = context.Queue()
    start = time.time() + 0.5
    processes = [context.Process(target=_race, args=(where, name, start, queue)) for name in names]
    for process in processes:
        process.start()
    outcome = [queue.get(timeout=STALL_SECONDS) for _ in processes]
    for process in processes:
        process.join()
    return outcome


def test_two_processes_cannot_both_take_the_last_of_the_budget(where: str) -> None:
    ledger = opened(where)
    for n in range(ledger.quote("trial", RELEASE).how_many_fit - 1):
        reserve(ledger, f"before-{n}")
    assert sum(admitted for _, admitted in race(where, [f"racer-{n}" for n in range(4)])) == 1
    balance = ledger.balance("trial")
    assert balance.spent_rdp <= balance.limit_rdp
    ledger.verify()


def test_the_same_release_from_several_processes_is_charged_once(where: str) -> None:
    ledger = opened(where)
    assert all(admitted for _, admitted in race(where, ["same"] * 3))
    assert ledger.balance("trial").n_releases == 1


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(QUICK, id="8 processes"),
        pytest.param(WHOLE, id="64 processes", marks=pytest.mark.long),
    ],
)
def test_a_storm_with_kill_9_leaves_a_whole_ledger(
    where: str, tmp_path: Path, plan: object
) -> None:
    finding = storm(where, tmp_path, plan)
    assert finding.holds, finding.message
    assert finding.figures["killed"] > 0 and finding.figures["charged"] > 10
