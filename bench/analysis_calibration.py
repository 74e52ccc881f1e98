"""Whether the standard analyses pass a fresh real sample and fail spoiled ones: tables in
docs/evaluation.md.

    python -m bench.analysis_calibration --patients 20000 --seeds 5

A real sample against another real sample of the same population should pass 95% of the findings or
more; each spoiled set (bench/analysis_spoilers.py) should fail the analyses that its fault
concerns, and copies of real patients none. Runs that are in the results already are not done again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.analysis_spoilers import SPOILERS
from bench.pathway_data import read_declaration, simulate_log
from pipeline.evaluation.analyses import run_analyses
from pipeline.evaluation.findings import Finding, Verdict
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "analysis_calibration.json"
DOC = report.DOCS / "evaluation.md"
FRESH = "fresh sample"
Rows = Sequence[dict[str, Any]]


def summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """How many findings have each verdict, and which analyses have a failure."""
    verdicts = Counter(finding.verdict for finding in findings)
    failures = Counter(f.analysis for f in findings if f.verdict is Verdict.FAIL)
    return {
        **{verdict.value: verdicts[verdict] for verdict in Verdict},
        "failures": " ".join(
            f"{name}:{n}" for name, n in sorted(failures.items(), key=lambda item: int(item[0][1:]))
        ),
    }


def share_passed(row: dict[str, Any]) -> float:
    """Of the findings that were tested."""
    return row["pass"] / max(row["pass"] + row["warn"] + row["fail"], 1)


def measure(key: dict[str, Any], schema: Schema, real: PatientLog, other: PatientLog) -> None:
    started = time.process_time()
    findings = run_analyses(schema, real, other, lambda text: None)
    seconds = time.process_time() - started
    report.add(RESULTS, {**key, **summary(findings), "cpu_seconds": seconds})
    sys.stdout.write(f"{key} {summary(findings)}\n")


def measure_all(patients: int, seeds: int) -> None:
    """Seeds of fresh samples, then the spoiled sets of the first seed's real sample."""
    schema = read_declaration()
    for seed in range(seeds):
        key = {"patients": patients, "set": FRESH, "seed": seed}
        if not report.holds(RESULTS, key):
            real, other = (simulate_log(schema, patients, 100 + 2 * seed + i) for i in (0, 1))
            measure(key, schema, real, other)
    keys = {name: {"patients": patients, "set": name, "seed": 0} for name in SPOILERS}
    todo = [name for name, key in keys.items() if not report.holds(RESULTS, key)]
    if todo:
        real, other = (simulate_log(schema, patients, 100 + i) for i in (0, 1))
        for name in todo:
            base = real if not SPOILERS[name].must_fail else other
            measure(keys[name], schema, real, SPOILERS[name].make(base))


def table(rows: Rows) -> str:
    """One line per size and set; fresh samples together."""
    lines = [
        "| patients, each | set | findings | pass | warn | fail | share passed | failing |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for patients in sorted({row["patients"] for row in rows}):
        for name in (FRESH, *SPOILERS):
            group = [row for row in rows if row["patients"] == patients and row["set"] == name]
            if group:
                lines.append(_line(patients, name, group))
    return "\n".join(lines)


def _line(patients: int, name: str, group: Rows) -> str:
    total = {key: sum(row[key] for row in group) for key in ("pass", "warn", "fail")}
    shares = sorted(share_passed(row) for row in group)
    share = f"{shares[0]:.1%} to {shares[-1]:.1%}" if len(shares) > 1 else f"{shares[0]:.1%}"
    label = f"{name}, {len(group)} seeds" if len(group) > 1 else name
    failures = ", ".join(sorted({row["failures"] for row in group} - {""})) or "none"
    return (
        f"| {patients:,} | {label} | {sum(total.values())} | {total['pass']} | {total['warn']}"
        f" | {total['fail']} | {share} | {failures} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=20_000, help="of each sample")
    parser.add_argument("--seeds", type=int, default=5, help="pairs of fresh samples")
    options = parser.parse_args()
    measure_all(options.patients, options.seeds)
    text = table(report.read(RESULTS))
    report.between("analysis calibration", "analysis_calibration.py", text, DOC)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
