"""Audits of patients alone and together, of borders, and of what is opened: they hold on the code,
and find each planted fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from further_faults import FAULTS, Fault

from audit import borders, decomposable, openings
from audit.findings import Check, perform

CHECKS: dict[str, Check] = {
    check.name: check for module in (decomposable, borders, openings) for check in module.CHECKS
}


def _long(is_long: bool) -> list[pytest.MarkDecorator]:
    return [pytest.mark.long] if is_long else []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=_long(check.long)) for name, check in CHECKS.items()]
)
def test_a_further_check_holds(name: str, tmp_path: Path) -> None:
    finding = perform(CHECKS[name], tmp_path).finding
    assert finding.holds, finding.message


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=_long(fault.long)) for fault in FAULTS]
)
def test_a_fault_that_looks_further_is_found(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fault.patch(patch)
        finding = perform(CHECKS[fault.caught_by], tmp_path).finding
    assert not finding.holds, f"{fault.caught_by} does not see it: {finding.message}"
    assert fault.found_as in finding.message, f"found for another reason: {finding.message}"
