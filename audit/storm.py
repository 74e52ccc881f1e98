"""Many processes reserve from one budget at random, and some are killed (`kill -9`) at any moment:
nothing is overspent, lost or broken.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import dp_accounting as dpa

from audit.findings import Check, Finding
from pipeline.dp.events import DiscreteGaussianDpEvent, flatten
from pipeline.ledger import BudgetExceeded, Ledger, Reservation, ReservationConflict

POPULATION = "storm"
_EVENTS: tuple[dpa.DpEvent, ...] = tuple(
    DiscreteGaussianDpEvent(sigma) for sigma in (15.0, 25.0, 40.0, 60.0)
)


@dataclass(frozen=True, kw_only=True)
class Storm:
    """How many processes, how many of them are killed at a random moment, and how many reservations
    each tries.
    """

    processes: int
    killed: int
    tries: int
    seconds: float  # kills fall within them
    epsilon: float = 3.0
    seed: int = 1


def storm(where: str, folder: Path, plan: Storm) -> Finding:
    """Runs it against the ledger at `where` (a file or a URL; empty). Every process notes in
    `folder` what it tried and what it was told.
    """
    ledger = Ledger(where)
    ledger.open_population(
        POPULATION,
        universe="nobody",
        nominal_size=1000,
        epsilon=plan.epsilon,
        delta=1e-6,
        ceiling_epsilon=plan.epsilon,
        kind="simulated",
        reason="an audit",
        by="audit",
    )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["audit.storm"])
    workers = [
        context.Process(target=_work, args=(where, str(folder), number, plan))
        for number in range(plan.processes)
    ]
    for worker in workers:
        worker.start()
    killed = _kill_some(workers, plan)
    for worker in workers:
        worker.join()
    crashed = sum(worker.exitcode not in (0, -signal.SIGKILL) for worker in workers)
    return _judge(ledger, _read_notes(folder), killed, crashed)


def _kill_some(workers: Sequence[BaseProcess], plan: Storm) -> int:
    """Kills `plan.killed` of them, one by one over `plan.seconds`; returns how many were still
    alive to be killed.
    """
    chance, killed = random.Random(plan.seed), 0
    for worker in chance.sample(workers, plan.killed):
        time.sleep(plan.seconds / plan.killed * 2 * chance.random())
        if worker.is_alive() and worker.pid is not None:
            os.kill(worker.pid, signal.SIGKILL)
            killed += 1
    return killed


def _work(where: str, folder: str, number: int, plan: Storm) -> None:
    """Reserve, and now and then take another's id, or commit. A line is on its way before a call,
    another after it returned.
    """
    chance, ledger = random.Random(1000 * plan.seed + number), Ledger(where)
    with (Path(folder) / f"{number}.txt").open("w", buffering=1, encoding="ascii") as notes:
        for turn in range(plan.tries):
            owner = number if chance.random() < 0.9 else chance.randrange(plan.processes)
            release_id, which = f"r-{owner}-{turn}", chance.randrange(len(_EVENTS))
            notes.write(f"tried {release_id}\n")
            try:
                reservation = ledger.reserve(
                    release_id, POPULATION, _EVENTS[which], by="audit", source_label="storm"
                )
                notes.write(f"told {release_id} {reservation.entry_hash}\n")
                if chance.random() < 0.2:
                    ledger.commit(release_id)
            except BudgetExceeded:
                notes.write(f"refused {release_id}\n")
            except ReservationConflict:
                notes.write(f"conflict {release_id}\n")


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What all processes wrote down: ids they asked for, {id: chain head} of the answers they
    got, and how many refusals.
    """

    requests: set[str]
    answers: dict[str, str]
    refusals: int


def _read_notes(folder: Path) -> Notes:
    """A line that a kill has cut short is no answer."""
    lines = [
        line.split()
        for path in sorted(folder.glob("*.txt"))
        for line in path.read_text(encoding="ascii").splitlines()
    ]
    return Notes(
        requests={line[1] for line in lines if line[0] == "tried"},
        answers={
            line[1]: line[2]
            for line in lines
            if line[0] == "told" and len(line) == 3 and len(line[2]) == 64
        },
        refusals=sum(line[0] == "refused" for line in lines),
    )


def _sum_of_charges(reservations: Iterable[Reservation], order: int) -> float:
    """The sum anew, without the ledger's own functions: order / (2 sigma^2) for each discrete
    Gaussian.
    """
    return math.fsum(
        times * order / (2 * leaf.sigma**2)
        for reservation in reservations
        for leaf, times in flatten(reservation.event).items()
    )


def _judge(ledger: Ledger, notes: Notes, killed: int, crashed: int) -> Finding:
    """The ledger against what the processes were told."""
    ledger.verify(
        {f"the answer about {name}": chain_head for name, chain_head in notes.answers.items()}
    )
    population = ledger.population(POPULATION)
    charges = {one.release_id: one for one in ledger.reservations(POPULATION)}
    entries = [entry.release_id for entry in ledger.entries(POPULATION) if entry.kind == "reserved"]
    spent = _sum_of_charges(charges.values(), population.order)
    figures = {
        "killed": killed,
        "crashed": crashed,
        "charged": len(charges),
        "refused": notes.refusals,
        "spent_share": spent / population.limit_rdp,
        "lost": len(notes.answers.keys() - charges.keys()),
        "unasked": len(charges.keys() - notes.requests),
        "twice": len(entries) - len(set(entries)),
    }
    faults = sum(figures[name] for name in ("lost", "unasked", "twice", "crashed"))
    return Finding(
        holds=spent <= population.limit_rdp * (1 + 1e-12) and not faults and notes.refusals > 0,
        message=(
            f"{killed} processes killed, {crashed} ended by an error; {len(charges)} releases"
            f" charged, {notes.refusals} refused; {spent:.4f} of {population.limit_rdp:.4f} spent;"
            f" {figures['lost']} lost, {figures['unasked']} unasked, {figures['twice']} charged"
            " twice; the chain verifies"
        ),
        figures=figures,
    )


def _on_a_file(plan: Storm, folder: Path) -> Finding:
    notes = folder / "notes"
    notes.mkdir(parents=True)
    return storm(str(folder / "ledger.db"), notes, plan)


QUICK = Storm(processes=8, killed=3, tries=30, seconds=1.0, epsilon=2.0)
WHOLE = Storm(processes=64, killed=32, tries=30, seconds=10.0)
_ASKS = (
    "processes that reserve at once, some killed at any moment, never overspend a budget, lose a"
    " charge or break the chain"
)

CHECKS = (
    Check(
        name="racing processes",
        family="adaptive adversary",
        asks=_ASKS,
        run=lambda folder: _on_a_file(QUICK, folder),
    ),
    Check(
        name="64 racing processes",
        family="adaptive adversary",
        asks=_ASKS,
        run=lambda folder: _on_a_file(WHOLE, folder),
        long=True,
    ),
)
