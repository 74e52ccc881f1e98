"""Frozen mechanisms (privacy_rules.md, *Tests*) on a whole registry. The audit itself is
audit/frozen_runs.py.
"""

from __future__ import annotations

from pathlib import Path

from audit import frozen_runs
from audit.findings import perform


def test_nothing_but_mechanisms_carries_rows_out(tmp_path: Path) -> None:
    found = perform(frozen_runs.CHECKS[0], tmp_path).finding
    assert found.holds, found.message
    assert found.figures["mechanisms"] > 100 and found.figures["visible"] > 100
