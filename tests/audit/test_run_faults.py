"""The audits of frozen runs, neighbours, stability and secrets hold on clean code, and find each
planted fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from run_faults import FAULTS, Fault

from audit import (
    chain_heads,
    frozen_runs,
    neighbours,
    populations,
    secrets,
    stability,
    stability_registry,
    transparency_log,
)
from audit.findings import Check, perform

CHECKS = {
    check.name: check
    for module in (
        frozen_runs,
        chain_heads,
        transparency_log,
        neighbours,
        stability,
        stability_registry,
        secrets,
        populations,
    )
    for check in module.CHECKS
}
ELSEWHERE = {"a registry, frozen"}  # tests/audit/test_frozen_mechanisms.py


def marked(name: str, is_long: bool) -> object:
    return pytest.param(name, marks=pytest.mark.long) if is_long else name


@pytest.mark.parametrize(
    "name", [marked(name, check.long) for name, check in CHECKS.items() if name not in ELSEWHERE]
)
def test_a_check_holds(name: str, tmp_path: Path) -> None:
    finding = perform(CHECKS[name], tmp_path).finding
    assert finding.holds, finding.message


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=[pytest.mark.long] if fault.long else [])
        for fault in FAULTS
    ],
)
def test_a_planted_fault_is_found(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check: Check = CHECKS[fault.caught_by]
    with monkeypatch.context() as patch:
        fault.patch(patch)
        finding = perform(check, tmp_path).finding
    assert not finding.holds, f"{fault.caught_by} does not see it: {finding.message}"
    assert fault.found_as in finding.message, f"found for another reason: {finding.message}"
