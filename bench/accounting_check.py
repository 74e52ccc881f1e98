"""Our accounting beside others': dp_accounting's PLD and RDP, Opacus' PRV, and closed forms or
exact sums written without either.

    python bench/accounting_check.py run       (bench/results/accounting.json)
    python bench/accounting_check.py write     (docs/evidence.md)

Exact: Gaussians by Balle and Wang 2018, Theorem 8, and one step of DP-SGD by the same integral over
    its mixture, with 40 digits; discrete Gaussians by convolving their probabilities, as equal
    blocks share one lattice of losses.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dp_accounting as dpa
import mpmath
import numpy as np
import report
from scipy import optimize, signal

from pipeline.dp import accounting
from pipeline.dp.events import DiscreteGaussianDpEvent

RESULTS = Path(__file__).resolve().parent.parent / "bench" / "results" / "accounting.json"
DELTAS = (1e-6, 1e-8)
ORDERS = (2, 4, 9, 32)
DIGITS = 40


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of mechanism with noise `sigma`, `times` times; q is the chance to join a batch, 1
    where everybody does.
    """

    kind: str  # gaussian or discrete
    sigma: float
    times: int
    q: float = 1.0

    @property
    def event(self) -> dpa.DpEvent:
        if self.kind == "discrete":
            return dpa.SelfComposedDpEvent(DiscreteGaussianDpEvent(self.sigma), self.times)
        gaussian = dpa.GaussianDpEvent(self.sigma)
        return dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(self.q, gaussian), self.times)

    @property
    def name(self) -> str:
        sampled = f", q {self.q:g}" if self.kind == "gaussian" else ""
        return (
            f"{'Gaussian' if self.kind == 'gaussian' else 'discrete Gaussian'}, sigma"
            f" {self.sigma:g}{sampled}, {self.times:,} times"
        )


CASES = (
    *(
        Case(kind="discrete", sigma=sigma, times=times)
        for sigma, times in ((0.7, 1), (4.0, 1), (60.0, 1), (2.0, 12), (12.0, 200), (90.0, 1500))
    ),
    *(
        Case(kind="gaussian", sigma=sigma, times=times)
        for sigma, times in ((0.7, 1), (4.0, 1), (30.0, 1), (2.0, 12), (40.0, 1500))
    ),
    *(
        Case(kind="gaussian", q=q, sigma=sigma, times=times)
        for q, sigma, times in (
            (1e-3, 0.6, 1),
            (1e-3, 0.6, 1000),
            (1e-3, 4.0, 10_000),
            (0.01, 0.8, 1),
            (0.01, 0.8, 300),
            (0.01, 3.0, 5000),
            (0.1, 1.0, 1),
            (0.1, 1.0, 20),
            (0.1, 16.0, 200),
            (0.1, 6.0, 1000),
        )
    ),
)


def exact(case: Case, delta: float) -> float | None:
    """The smallest epsilon at which the definition gives at most delta; None for composed DP-SGD,
    of which no closed form is known.
    """
    if case.kind == "discrete":
        return _convolved(case.sigma, case.times, delta)
    if case.q == 1:
        return _root(lambda at: _sampled_delta(at, math.sqrt(case.times) / case.sigma, 1.0), delta)
    if case.times == 1:
        return _root(lambda at: _sampled_delta(at, 1 / case.sigma, case.q), delta)
    return None


def _sampled_delta(epsilon: Any, mu: float, q: float) -> Any:
    """Of (1-q) N(0, 1) + q N(mu, 1) against N(0, 1), the worse way round: the loss crosses epsilon
    at one point of the line.
    """

    def above(x: Any, mean: float = 0.0) -> Any:
        return mpmath.ncdf(mean - x)

    odds = mpmath.exp(epsilon)
    x = (mpmath.log((odds - (1 - q)) / q)) / mu + mpmath.mpf(mu) / 2
    removed = (1 - q) * above(x) + q * above(x, mu) - odds * above(x)
    if 1 / odds <= 1 - q:
        return removed  # the other way round, the loss never gets this high
    x = (mpmath.log((1 / odds - (1 - q)) / q)) / mu + mpmath.mpf(mu) / 2
    added = mpmath.ncdf(x) - odds * ((1 - q) * mpmath.ncdf(x) + q * mpmath.ncdf(x - mu))
    return max(removed, added)


def _root(delta_at: Any, delta: float) -> float:
    with mpmath.workdps(DIGITS):
        low, high = mpmath.mpf(0), mpmath.mpf(1)
        if delta_at(low + mpmath.mpf(10) ** -30) <= delta:
            return 0.0
        while delta_at(high) > delta:
            high *= 2
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if delta_at(middle) > delta else (low, middle)
        return float(high)


def _convolved(sigma: float, times: int, delta: float) -> float:
    """The losses (times - 2 S) / (2 sigma^2), S the sum of the noises: its probabilities by
    repeated squaring.
    """
    bound = math.ceil(14 * sigma) + 2
    x = np.arange(-bound, bound + 1)
    one = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    one /= one.sum()
    total, width, left, square, square_width = np.ones(1), 0, times, one, bound
    while left:
        if left % 2:
            total, width = signal.convolve(total, square), width + square_width
        left //= 2
        if left:
            square, square_width = signal.convolve(square, square), 2 * square_width
    losses = (times - 2 * np.arange(-width, width + 1)) / (2 * sigma**2)

    def delta_at(epsilon: float) -> float:
        return float((total * -np.expm1(np.minimum(0.0, epsilon - losses))).sum())

    return (
        0.0
        if delta_at(0.0) <= delta
        else float(
            optimize.brentq(
                lambda at: delta_at(at) - delta, 0.0, losses.max(), xtol=1e-13, rtol=1e-13
            )
        )
    )


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
    return max(
        abs(accounting.rdp(case.event, order) / _their_rdp(event, order) - 1) for order in ORDERS
    )


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
    within, asked = (
        sum(row["within_prv"] for row in rows if row["prv_low"] is not None),
        sum(row["prv_low"] is not None for row in rows),
    )
    return (
        f"Agreement: epsilon to {worst:.1e} relative ({digits(worst)} digits) with the exact value"
        f" and dp_accounting's PLD; where there is an exact value, ours lies {min(over):.0e} to"
        f" {max(over):.0e} above it; within the bounds of Opacus' PRV in {within} of {asked} cases;"
        f" Renyi divergences to {renyi:.0e} ({digits(renyi)} digits)."
    )


def digits(difference: float) -> int:
    """Decimal digits that agree."""
    return math.floor(-math.log10(max(difference, 1e-16)))


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
        rows = report.read(RESULTS)
        report.between(
            "accounting",
            "accounting_check.py",
            table(rows) + "\n\n" + summary(rows),
            report.EVIDENCE,
        )


if __name__ == "__main__":
    main()
