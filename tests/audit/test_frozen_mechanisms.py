"""Frozen mechanisms (privacy_rules.md, *Tests*) on a whole registry, which takes minutes; those on
a sample population are in test_run_faults.py. The audit itself is audit/frozen_runs.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from audit import frozen_runs
from audit.findings import perform


@pytest.mark.long
def test_nothing_but_mechanisms_carries_rows_out(tmp_path: Path) -> None:
    finding = perform(frozen_runs.CHECKS[0], tmp_path).finding
    assert finding.holds, finding.message
    assert finding.figures["mechanisms"] > 100 and finding.figures["visible"] > 100
