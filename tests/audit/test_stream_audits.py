"""The audits of mixed gradients, streams and sizes hold on clean code, and each planted fault is
found by the check that is named for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mixed_faults
import pytest
import size_faults
import stream_faults

from audit import (
    many_rows,
    mixed_fits,
    mixed_gradients,
    noise_bits,
    planned_sigmas,
    reviewed_sizes,
    sizes,
    streams,
    surroundings,
)
from audit.findings import perform

CHECKS = {
    check.name: check
    for module in (
        mixed_gradients,
        mixed_fits,
        streams,
        noise_bits,
        planned_sigmas,
        surroundings,
        reviewed_sizes,
        sizes,
        many_rows,
    )
    for check in module.CHECKS
}
FAULTS: tuple[Any, ...] = (*mixed_faults.FAULTS, *stream_faults.FAULTS, *size_faults.FAULTS)


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


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            fault,
            id=f"{fault.name}: {fault.where}",
            marks=pytest.mark.long if fault.long or CHECKS[fault.caught_by].long else (),
        )
        for fault in FAULTS
    ],
)
def test_the_fault_is_found(fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fault.patch(patch)
        finding = perform(CHECKS[fault.caught_by], tmp_path).finding
    assert not finding.holds, f"{fault.caught_by} does not see it: {finding.message}"
    assert fault.found_as in finding.message, f"found for another reason: {finding.message}"
