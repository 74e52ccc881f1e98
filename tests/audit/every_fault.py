"""All planted faults, and the table of docs/evidence.md that says what caught each: `python
tests/audit/every_fault.py` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "audit"), str(ROOT / "tests"), str(ROOT)]

import adversary_faults  # noqa: E402
import canary_faults  # noqa: E402
import cohort_faults  # noqa: E402
import further_faults  # noqa: E402
import mechanism_faults  # noqa: E402
import mixed_faults  # noqa: E402
import run_faults  # noqa: E402
import size_faults  # noqa: E402
import stream_faults  # noqa: E402

DOC = ROOT / "docs" / "evidence.md"
BEGIN, END = "<!-- faults: written by tests/audit/every_fault.py -->", "<!-- /faults -->"
FAULTS: tuple[Any, ...] = (
    *mechanism_faults.FAULTS,
    *run_faults.FAULTS,
    *mixed_faults.FAULTS,
    *stream_faults.FAULTS,
    *size_faults.FAULTS,
    *cohort_faults.FAULTS,
    *further_faults.FAULTS,
    *adversary_faults.FAULTS,
    *canary_faults.FAULTS,
    *canary_faults.SMALL_FAULTS,
)

# What privacy_rules.md, *Tests*, asks to be planted, in its words and order.
REQUIRED = (
    "no noise",
    "noise halved",
    "clip forgotten",
    "batch mean as divisor",
    "shuffled for Poisson",
    "truncated batch",
    "row-level clipping",
    "three tumours in one Gram row",
    "realised tree depth charged",
    "sigma from learned bins",
    "training-by-sampling",
    "a category learned from rows",
    "n read from the table",
    "a count measured twice after a crash",
    "noise key reused on resume",
    "checkpoint chosen by real loss",
    "a shuffled split",
    "a run stopped by one row",
    "a source hash in a manifest",
    "a cohort that moves",
    "the same rows under a second population",
    "admission by PLD sum",
    "automatic approval on a raw score",
)


def table() -> str:
    """A row for each kind of fault: how often it was planted, and the checks that caught it. Those
    asked for first, in their order.
    """
    kinds: dict[str, list[Any]] = {name: [] for name in REQUIRED}
    for fault in FAULTS:
        kinds.setdefault(fault.name, []).append(fault)
    lines = ["| fault | planted in | caught by |", "|---|---|---|"]
    for name, planted in kinds.items():
        places = (
            ", ".join(
                dict.fromkeys(where for fault in planted if (where := getattr(fault, "where", "")))
            )
            or "-"
        )
        lines.append(
            f"| {name} | {places} |"
            f" {'; '.join(dict.fromkeys(fault.caught_by for fault in planted))} |"
        )
    return "\n".join(lines)


def page_with_table() -> str:
    """The page with the table as it is now."""
    head, rest = DOC.read_text(encoding="utf-8").split(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOC.write_text(page_with_table(), encoding="utf-8")
