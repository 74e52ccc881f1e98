"""A fresh real sample passes the analyses, spoiled ones fail those that their fault concerns
(bench/analysis_calibration.py shows more seeds and sizes).
"""

from __future__ import annotations

import pytest
from analysis_cases import registry, simulated

from bench.analysis_calibration import share_passed, summary
from bench.analysis_spoilers import SPOILERS
from pipeline.evaluation.analyses import ANALYSES, excess, run_analyses, worst_groups
from pipeline.evaluation.findings import Finding, Verdict
from pipeline.schema.patient_log import PatientLog

N = 12_000
SIGHTED = [name for name, spoiler in SPOILERS.items() if spoiler.must_fail]


def findings_of(real: PatientLog, other: PatientLog, numbers: tuple[str, ...]) -> list[Finding]:
    analyses = [one for one in ANALYSES if one.number in numbers]
    return run_analyses(registry(), real, other, lambda text: None, analyses)


@pytest.mark.long
def test_a_fresh_sample_passes():
    """At least 95%; fewer failures than 1%: chance makes about 1% of the findings warn."""
    numbers = tuple(one.number for one in ANALYSES)
    findings = findings_of(simulated(N, 1), simulated(N // 2, 2), numbers)
    outcome = summary(findings)
    assert share_passed(outcome) >= 0.95
    assert outcome["fail"] <= 0.01 * len(findings), outcome
    assert outcome["untested"] < 0.05 * len(findings)
    assert {one.analysis for one in findings} == set(numbers)


@pytest.mark.parametrize("name", SIGHTED)
def test_a_spoiled_sample_fails_the_analyses_that_see_it(name):
    spoiler = SPOILERS[name]
    findings = findings_of(simulated(N, 1), spoiler.make(simulated(N, 3)), spoiler.must_fail)
    blind = set(spoiler.must_fail) - {f.analysis for f in findings if f.verdict is Verdict.FAIL}
    assert not blind


@pytest.mark.long
def test_copies_of_real_patients_pass():
    numbers = ("A1", "A2", "A3", "A7", "A13", "A21", "A28")
    real = simulated(N, 1)
    findings = findings_of(real, SPOILERS["copies of real patients"].make(real), numbers)
    assert {one.verdict for one in findings} <= {Verdict.PASS, Verdict.UNTESTED}


def test_the_dropped_group_is_named_the_worst():
    spoiler = SPOILERS["an ethnic group dropped"]
    findings = findings_of(simulated(N, 1), spoiler.make(simulated(N, 3)), ("A28",))
    worst = worst_groups(findings)[0]
    assert worst.group == "Ethnicity: Asian" and excess(worst) > 2
