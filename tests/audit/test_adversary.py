"""The adaptive adversary gets nothing past the filter, and finds every planted fault of
admission.
"""

from __future__ import annotations

from pathlib import Path

import dp_accounting as dpa
import pytest
from adversary_faults import FAULTS, Fault

from audit.attack import CHECKS, POPULATIONS, ROUNDS, charge_with_small_figures
from audit.findings import perform
from audit.stored_sums import divergence, second_opinion, sums_by_cohort
from pipeline.dp import renyi
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger

BY_NAME = {check.name: check for check in CHECKS}


def test_an_adaptive_adversary_never_passes_the_limit(tmp_path: Path) -> None:
    answer = perform(BY_NAME["adaptive adversary"], tmp_path)
    assert answer.finding.holds, answer.finding.message
    figures = answer.finding.figures
    assert figures["refreshes"] == ROUNDS * len(POPULATIONS) >= 60
    assert figures["admitted"] >= 15 and figures["refused"] >= 15
    # it does come to the limit: the check is not an idle one
    assert 0.9 < figures["largest_share"] <= 1 + 1e-9


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.patch(monkeypatch)
    finding = perform(BY_NAME[fault.caught_by], tmp_path).finding
    assert not finding.holds and finding.figures["largest_share"] > 1 + 1e-7, finding.message


@pytest.mark.parametrize(
    "event",
    [
        DiscreteGaussianDpEvent(3.0),
        dpa.GaussianDpEvent(0.8),
        dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(0.01, dpa.GaussianDpEvent(0.6)), 7),
        dpa.ComposedDpEvent(
            [DiscreteGaussianDpEvent(2.0), dpa.PoissonSampledDpEvent(0.4, dpa.GaussianDpEvent(3.0))]
        ),
    ],
)
@pytest.mark.parametrize("order", [2, 4, 9])
def test_the_adversarys_formulas_are_the_accountants(event: dpa.DpEvent, order: int) -> None:
    assert divergence(event, order) == pytest.approx(renyi.rdp(event, order), rel=1e-9)


def test_the_sums_are_over_stored_mechanisms(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    opened = ledger.open_population(
        "one",
        universe="nobody",
        nominal_size=1000,
        epsilon=3.0,
        delta=1e-6,
        ceiling_epsilon=3.0,
        kind="simulated",
        reason="tests",
        by="tests",
    )
    charge_with_small_figures(tmp_path / "ledger.db", "one", DiscreteGaussianDpEvent(4.0))
    [sum_of_one] = sums_by_cohort(ledger.entries("one"), opened.order).values()
    assert sum_of_one == pytest.approx(opened.order / 32)
    assert second_opinion(ledger.entries("one"), opened) == pytest.approx(
        renyi.epsilon_of_rdp(opened.order, sum_of_one, 1e-6)
    )
