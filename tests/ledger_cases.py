"""The population and the release that the ledger's tests share."""

from __future__ import annotations

import dp_accounting as dpa

from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger, Reservation

OPEN = {
    "universe": "people who do not exist",
    "nominal_size": 5000,
    "epsilon": 3.0,
    "delta": 1e-6,
    "ceiling_epsilon": 5.0,
    "kind": "simulated",
    "reason": "tests",
    "by": "tester",
}
COUNTS = DiscreteGaussianDpEvent(8.0)
STEP = dpa.PoissonSampledDpEvent(0.1, dpa.GaussianDpEvent(2.0))
RELEASE = dpa.ComposedDpEvent([COUNTS, COUNTS, dpa.SelfComposedDpEvent(STEP, 20)])


def opened(where: str) -> Ledger:
    ledger = Ledger(where)
    ledger.open_population("trial", **OPEN)
    return ledger


def reserve(
    ledger: Ledger, release_id: str, event: dpa.DpEvent = RELEASE, **changes: object
) -> Reservation:
    return ledger.reserve(
        release_id,
        **(
            {"population": "trial", "event": event, "by": "tester", "source_label": "May"} | changes
        ),
    )
