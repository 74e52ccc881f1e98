"""Our accounting beside others': dp_accounting's PLD and RDP, Opacus' PRV, and the exact values of
bench/accounting_cases.py, which are written without either.

    python -m bench.accounting_check run
        writes bench/results/accounting.json
    python -m bench.accounting_check write
        writes docs/evidence.md
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import dp_accounting as dpa
import numpy as np

from bench import report
from bench.accounting_cases import CASES, Case, exact
from pipeline.dp import accounting, renyi

RESULTS = Path(__file__).resolve().parent.parent / "bench" / "results" / "accounting.json"
DELTAS = (1e-6, 1e-8)
ORDERS = (2, 4, 9, 32)


def by_dp_accounting(case: Case, delta: float) -> float:
    """Their PLD, connect the dots, on a grid as fine as the case needs."""
    interval = min(1e-4, accounting.epsilon(case.event, delta) * 1e-4)
    if case.kind == "gaussian":
        return float(
            dpa.pld.PLDAccountant(value_discretization_interval=interval)
            .compose(case.event)
            .get_epsilon(delta)
        )
    block = dpa.pld.privacy_loss_distribution.from_discrete_gaussian_mechanism(
        case.sigma, value_discretization_interval=interval, use_connect_dots=True
    )
    return float(block.self_compose(case.times).get_epsilon_for_delta(delta))


def by_opacus(case: Case, delta: float, share: float = 1e-3) -> tuple[float, float] | None:
    """(low, high): between them lies the truth by Opacus' PRV accountant (Gopi, Lee, Wutschitz
    2021); for Gaussians alone.
    """
    from opacus.accountants.prv import PRVAccountant

    if case.kind == "discrete":
        return None
    accountant, error = PRVAccountant(), share * accounting.epsilon(case.event, delta)
    accountant.history = [(case.sigma, case.q, case.times)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        whole = accountant._get_dprv(eps_error=error, delta_error=delta / 1000)
        low, _, high = whole.compute_epsilon(delta, delta / 1000, error)
    return float(low), float(high)


def renyi_difference(case: Case) -> float:
    """The largest relative difference between our divergence and dp_accounting's, over whole
    orders. Of a discrete Gaussian both take the bound.
    """
    event = (
        case.event
        if case.kind == "gaussian"
        else dpa.SelfComposedDpEvent(dpa.GaussianDpEvent(case.sigma), case.times)
    )
    return max(abs(renyi.rdp(case.event, order) / _their_rdp(event, order) - 1) for order in ORDERS)


def _their_rdp(event: dpa.DpEvent, order: int) -> float:
    delta = 1e-10  # taken out of the conversion again: there is no public way to the divergence
    epsilon = dpa.rdp.RdpAccountant(orders=[order]).compose(event).get_epsilon(delta)
    return float(epsilon - math.log1p(-1 / order) + math.log(delta * order) / (order - 1))


def measure(case: Case, delta: float, *, prv: bool = True) -> dict[str, Any]:
    """Epsilon by everybody, and how far each is from ours, relatively."""
    ours = accounting.epsilon(case.event, delta)
    theirs = {"exact": exact(case, delta), "dp_accounting": by_dp_accounting(case, delta)}
    bounds = by_opacus(case, delta) if prv else None
    row = {
        "case": case.name,
        "delta": delta,
        "ours": ours,
        **theirs,
        "prv_low": bounds[0] if bounds else None,
        "prv_high": bounds[1] if bounds else None,
        "rdp": _best_order(case, delta),
        "renyi_difference": renyi_difference(case),
    }
    row["difference"] = max(abs(ours / value - 1) for value in theirs.values() if value)
    row["over_exact"] = ours / theirs["exact"] - 1 if theirs["exact"] else None
    row["within_prv"] = bounds is None or bounds[0] <= ours <= bounds[1]
    return row


def _best_order(case: Case, delta: float) -> float:
    event = (
        case.event
        if case.kind == "gaussian"
        else dpa.SelfComposedDpEvent(dpa.GaussianDpEvent(case.sigma), case.times)
    )
    return float(dpa.rdp.RdpAccountant().compose(event).get_epsilon(delta))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        (
            "| mechanism | delta | ours (PLD) | exact | dp_accounting PLD | Opacus PRV, low to high"
            " | dp_accounting RDP, best order | largest difference | Renyi at fixed orders |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        prv = "-" if row["prv_low"] is None else f"{row['prv_low']:.5g} to {row['prv_high']:.5g}"
        exact_one = "-" if row["exact"] is None else f"{row['exact']:.5g}"
        lines.append(
            f"| {row['case']} | {row['delta']:g} | {row['ours']:.5g} | {exact_one} |"
            f" {row['dp_accounting']:.5g} | {prv} | {row['rdp']:.5g} | {row['difference']:.1e} |"
            f" {row['renyi_difference']:.0e} |"
        )
    return "\n".join(lines)


def summary(rows: list[dict[str, Any]]) -> str:
    over = [row["over_exact"] for row in rows if row["over_exact"] is not None]
    worst, renyi = (
        max(row["difference"] for row in rows),
        max(row["renyi_difference"] for row in rows),
    )
    within, bounded = (
        sum(row["within_prv"] for row in rows if row["prv_low"] is not None),
        sum(row["prv_low"] is not None for row in rows),
    )
    return (
        f"Agreement: epsilon to {worst:.1e} relative ({digits(worst)} digits) with the exact value"
        f" and dp_accounting's PLD; where there is an exact value, ours lies {min(over):.0e} to"
        f" {max(over):.0e} above it; within the bounds of Opacus' PRV in {within} of"
        f" {bounded} cases; Renyi divergences to {renyi:.0e} ({digits(renyi)} digits)."
    )


def digits(difference: float) -> int:
    """Decimal digits that agree."""
    return math.floor(-math.log10(max(difference, 1e-16)))


def text() -> str:
    """What stands in docs/evidence.md, from the results."""
    rows = report.read(RESULTS)
    return table(rows) + "\n\n" + summary(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("run", "write"))
    options = parser.parse_args()
    if options.action == "run":
        rows = []
        for case in CASES:
            for delta in DELTAS:
                rows.append(measure(case, delta))
                sys.stderr.write(f"{rows[-1]}\n")
        report.keep_at(RESULTS, rows)
    else:
        report.between("accounting", "accounting_check.py", text(), report.EVIDENCE)


if __name__ == "__main__":
    main()
