"""The audits of single mechanisms hold; with a fault planted, the one that is named for it does
not.
"""

import re
from pathlib import Path

import pytest
from mechanism_faults import FAULTS, Fault

from audit import mechanisms, sampler
from audit.findings import perform

# a patch that no longer fits the code, which is not a fault found
BROKEN_PROGRAM = re.compile(r"stopped by (Attribute|Import|ModuleNotFound|Name|Type)Error")
CHECKS = {check.name: check for check in (*mechanisms.CHECKS, *sampler.CHECKS)}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if check.long else ())
        for name, check in CHECKS.items()
    ],
)
def test_the_check_holds(name: str, tmp_path: Path) -> None:
    finding = perform(CHECKS[name], tmp_path).finding
    assert finding.holds, finding.message


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name}: {fault.where}")
def test_the_fault_is_caught(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.patch(monkeypatch)
    finding = perform(CHECKS[fault.caught_by], tmp_path).finding
    assert not finding.holds, finding.message
    assert not BROKEN_PROGRAM.match(finding.message), f"for another reason: {finding.message}"


def test_checks_have_names_of_their_own() -> None:
    assert len(CHECKS) == len(mechanisms.CHECKS) + len(sampler.CHECKS)
    assert {fault.caught_by for fault in FAULTS} <= {
        name for name, check in CHECKS.items() if not check.long
    }
