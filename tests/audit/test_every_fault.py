"""Every fault that the privacy rules ask for is planted, by a check that `python -m pipeline audit`
performs, and the page says so.
"""

from pathlib import Path

import cohort_faults
import every_fault
import pytest

from audit.every import CHECKS
from audit.findings import FAMILIES, perform


def test_every_fault_asked_for_is_planted_and_every_catcher_is_in_the_audit() -> None:
    planted = {fault.name for fault in every_fault.FAULTS}
    assert not set(every_fault.REQUIRED) - planted
    assert {fault.caught_by for fault in every_fault.FAULTS} <= {check.name for check in CHECKS}


def test_the_privacy_rules_name_every_fault_that_is_asked_for() -> None:
    rules = (every_fault.DOC.parent / "privacy_rules.md").read_text(encoding="utf-8")
    faults = " ".join(rules.split("**Planted faults.**")[1].split())
    assert not [name for name in every_fault.REQUIRED if name not in faults]


def test_checks_have_names_of_their_own_and_all_families_are_there() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert {check.family for check in CHECKS if not check.long} == set(FAMILIES)


def test_the_page_lists_every_fault_and_what_caught_it() -> None:
    assert every_fault.DOC.read_text(encoding="utf-8") == every_fault.page_with_table(), (
        "python tests/audit/every_fault.py writes the table anew"
    )


@pytest.mark.parametrize("fault", cohort_faults.FAULTS, ids=lambda fault: fault.name)
def test_a_cohort_that_moves_is_caught(
    fault: cohort_faults.Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = next(check for check in CHECKS if check.name == fault.caught_by)
    clean = perform(check, tmp_path / "clean").finding
    assert clean.holds, clean.message
    fault.patch(monkeypatch)
    finding = perform(check, tmp_path / "moving").finding
    assert not finding.holds and "were opened in both cohorts" in finding.message
