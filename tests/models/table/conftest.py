"""One fit that several tests look at."""

from __future__ import annotations

import pytest
from table_cases import Fitted, run_fit, simulated_plan, simulated_rows

from pipeline.dp.accounting import calibrate


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The simulated table, 12,000 rows at epsilon 3, delta 1e-6."""
    table_plan = simulated_plan()
    scale, _ = calibrate(table_plan.dp_event, 3.0, 1e-6)
    return run_fit(simulated_rows(12_000, 7), tmp_path_factory.mktemp("fitted"), table_plan, scale)
