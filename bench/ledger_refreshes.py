"""1,000 refreshes asked for by an adaptive adversary, and how many releases fit into a budget by
three ways of adding up.

    python -m bench.ledger_refreshes attack --seeds 3
        through the real ledger, SQLite; a seed whose figures are there already is not run again
    python -m bench.ledger_refreshes compare
    python -m bench.ledger_refreshes write
        writes docs/evidence.md from bench/results/

The third way, a sum of privacy loss distributions, holds for releases that were all fixed
beforehand and for no others: it is here to show what the guarantee over adaptive releases costs,
and admits nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import dp_accounting as dpa
from matplotlib.figure import Figure

from audit.attack import Game, game
from bench import report
from pipeline import params
from pipeline.dp import accounting
from pipeline.ledger import Ledger
from pipeline.models.synthesizer.plan import joint_plan
from pipeline.params import PrivacyParams
from pipeline.schema.reader import read_schema

ROOT = Path(__file__).resolve().parent.parent
ATTACKS, FITS = (
    ROOT / "bench" / "results" / "ledger_attacks.json",
    ROOT / "bench" / "results" / "ledger_fits.json",
)
PLOT = ROOT / "docs" / "benchmarks" / "ledger_refreshes.svg"
DELTA = 1e-6
BUDGETS = (3.0, 5.0, 8.0, 10.0)
# greed: the largest share of what is left that one request takes, so that most of them are admitted
REFRESHES, GREED = 1000, 0.005
LAST = 30  # requests at the end that take all they can get
WAYS = {
    "filter": "Renyi filter (the ledger)",
    "naive": "naive adding of epsilons",
    "pld": "PLD sum: INVALID for adaptive releases",
}
# Okabe and Ito: told apart by everybody, and in grey
COLOURS = {"filter": "#0072b2", "naive": "#999999", "pld": "#e69f00"}
EVENTS = ("one Gaussian", "default plan: counts and DP-SGD", "DP-SGD with little noise")


def attack(seed: int, refreshes: int = REFRESHES, greed: float = GREED) -> dict[str, Any]:
    """One adversary against a population of epsilon 10. Raises AssertionError at the first request
    that gets past the limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        one, seconds = game(ledger, "attacked", 10.0, DELTA, (), seed, greed), []
        for number in range(refreshes):
            if number == refreshes - LAST:
                one.adversary.greed = 1.0
            started = time.process_time()
            one.round(number)
            seconds.append(time.process_time() - started)
            assert not one.faults, one.faults
        one.ends()
        assert not one.faults, one.faults
        entries, balance = len(ledger.entries()), ledger.balance("attacked")
        reserving = time.process_time()
        ledger.quote("attacked", dpa.GaussianDpEvent(50.0))
        return {
            "seed": seed,
            "requests": refreshes,
            "admitted": one.admitted,
            "refused": one.refused,
            "entries": entries,
            "largest_share": one.largest_share,
            "epsilon_spent": balance.epsilon_spent,
            "kinds": _kinds(one),
            "cpu_ms_of_the_first_100": 10 * sum(seconds[:100]),
            "cpu_ms_of_the_last_100": 10 * sum(seconds[-100:]),
            "cpu_ms_of_a_quote_at_the_end": 1000 * (time.process_time() - reserving),
        }


def _kinds(one: Game) -> int:
    """How many different mechanisms were charged: none was fixed beforehand."""
    return len(
        {
            str(entry.facts["event"])
            for entry in one.ledger.entries(one.population)
            if entry.kind == "reserved"
        }
    )


def release(name: str) -> dpa.DpEvent:
    """A release of epsilon 1 at delta 1e-6."""
    if name == EVENTS[0]:
        return accounting.calibrate(dpa.GaussianDpEvent, 1.0, DELTA)[1]
    if name == EVENTS[1]:
        schema = read_schema(ROOT / "datasets" / "simulated_pathways.yaml")
        settings = params.load(ROOT / "params.yaml").train
        return joint_plan(
            schema, PrivacyParams(epsilon=1.0, delta=DELTA), settings, date(2022, 12, 31)
        ).dp_event
    return accounting.calibrate(_little_noise, 1.0, DELTA)[1]


def _little_noise(sigma: float) -> dpa.DpEvent:
    return dpa.SelfComposedDpEvent(
        dpa.PoissonSampledDpEvent(0.001, dpa.GaussianDpEvent(sigma)), 500
    )


def fits(name: str, event: dpa.DpEvent, budget: float) -> dict[str, Any]:
    """How many such releases the budget holds, by each way."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        opened = ledger.open_population(
            "asked",
            universe="nobody",
            nominal_size=1000,
            epsilon=budget,
            delta=DELTA,
            ceiling_epsilon=budget,
            kind="simulated",
            reason="a benchmark",
            by="bench",
        )
        quote = ledger.quote("asked", event)
    return {
        "event": name,
        "budget": budget,
        "epsilon": quote.epsilon,
        "order": opened.order,
        "limit_rdp": opened.limit_rdp,
        "rdp": quote.rdp,
        "filter": quote.how_many_fit,
        "naive": math.floor(budget / quote.epsilon),
        "pld": _by_pld(event, budget),
    }


def _by_pld(event: dpa.DpEvent, budget: float) -> int:
    """The largest number of releases whose joint PLD stays within the budget, by doubling and
    halving.
    """
    low, high = 0, 1
    while _joint(event, high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _joint(event, middle) <= budget else (low, middle)
    return low


def _joint(event: dpa.DpEvent, times: int) -> float:
    return accounting.epsilon(dpa.SelfComposedDpEvent(event, times), DELTA)


def write() -> None:
    """The part of docs/evidence.md that is this script's, and its picture."""
    picture(report.read(FITS))
    report.between("ledger", "ledger_refreshes.py", text(), report.EVIDENCE)


def text() -> str:
    """What stands in docs/evidence.md, from the results."""
    return table(report.read(FITS)) + "\n\n" + attacked(report.read(ATTACKS))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| releases of epsilon 1 | way | "
        + " | ".join(f"budget {budget:g}" for budget in BUDGETS)
        + " |",
        "|---|---|" + "---|" * len(BUDGETS),
    ]
    for name in EVENTS:
        group = {row["budget"]: row for row in rows if row["event"] == name}
        lines += [
            f"| {name} | {label} | "
            + " | ".join(str(group[budget][way]) for budget in BUDGETS)
            + " |"
            for way, label in WAYS.items()
        ]
    return "\n".join(lines)


def attacked(rows: list[dict[str, Any]]) -> str:
    lines = [
        (
            "| seed | requests | admitted | refused | different mechanisms | largest sum over limit"
            " | CPU ms of a request, first 100 | last 100 |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(
        lines
        + [
            f"| {row['seed']} | {row['requests']:,} | {row['admitted']:,} | {row['refused']:,} |"
            f" {row['kinds']:,} | {row['largest_share']:.4%} | {row['cpu_ms_of_the_first_100']:.0f}"
            f" | {row['cpu_ms_of_the_last_100']:.0f} |"
            for row in rows
        ]
    )


def picture(rows: list[dict[str, Any]]) -> None:
    """A panel per kind of release: bars by budget and way. What may not be used is hatched."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(EVENTS)), EVENTS, strict=True):
        group = {row["budget"]: row for row in rows if row["event"] == name}
        for place, (way, label) in enumerate(WAYS.items()):
            bars = axes.bar(
                [at + 0.27 * (place - 1) for at in range(len(BUDGETS))],
                [group[budget][way] for budget in BUDGETS],
                0.25,
                label=label,
                color="white" if way == "pld" else COLOURS[way],
                edgecolor=COLOURS[way],
                hatch="////" if way == "pld" else None,
            )
            axes.bar_label(bars, fontsize="small", padding=2)
        axes.set_xticks(range(len(BUDGETS)), [f"{budget:g}" for budget in BUDGETS])
        axes.set(title=name, xlabel="budget of the population (epsilon, delta 1e-6)")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("releases of epsilon 1 that fit")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )
    report.save(figure, PLOT)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("attack", "compare", "write"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.action == "attack":
        for seed in range(1, options.seeds + 1):
            if not report.holds(ATTACKS, {"seed": seed, "requests": REFRESHES}):
                report.add(ATTACKS, attack(seed))
                sys.stderr.write(f"{report.read(ATTACKS)[-1]}\n")
    if options.action == "compare":
        rows_of_fits = [
            fits(name, event, budget)
            for name in EVENTS
            for event in [release(name)]
            for budget in BUDGETS
        ]
        report.keep_at(FITS, rows_of_fits)
        sys.stdout.write(table(rows_of_fits) + "\n")
    if options.action == "write":
        write()


if __name__ == "__main__":
    main()
