"""What an evaluation says: findings of analyses, risks of attacks, and their verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema


class Verdict(StrEnum):
    """PASS: a reader comes to the same conclusion. WARN: nearly. FAIL: not. UNTESTED: too few real
    patients to tell.
    """

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNTESTED = "untested"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number that an analysis finds in one table, with its 95% interval as the analysis itself
    would print it; `n`: patients it rests on. NaN bounds where there is none.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison of one analysis: one curve, coefficient, rate or distribution."""

    analysis: str  # its number in evaluation.md: "A7"
    what: str  # in words: "Breast, stage 4: alive after 1 year"
    measure: str  # what the distance is: "difference of survival, in points"
    real: Estimate | None  # None where the finding is a distance alone
    synthetic: Estimate | None
    distance: float  # in the unit of `measure`, at least 0; NaN where untested
    limit: float  # the distance up to which it passes, sampling error of both tables included
    verdict: Verdict
    group: str = ""  # of a subgroup: "Ethnicity: Black"; "" for everybody
    unit: str = ""  # of both estimates, as people read it: "%", "days", "hazard ratio"


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One of the standard analyses, on a source and on a synthetic table."""

    number: str  # "A7"
    name: str  # in words, short: "Survival curves"
    needs: Collection[str]  # names of columns, event types and tables; absent ones leave it out
    run: Callable[[Schema, PatientLog, PatientLog], Sequence[Finding]]  # (schema, real, synthetic)


@dataclass(frozen=True, kw_only=True)
class Risk:
    """What an attacker who has the synthetic table reaches, beside a control."""

    attack: str  # "singling out"
    rate: Estimate  # success on patients who were trained on
    control: Estimate  # the same on patients who were not
    advantage: Estimate  # rate beyond control, in the attack's own scale, 0 for none
    is_found: bool  # whether the rate lies clear above the control
    shows: str  # what a high figure would mean, one sentence
    cannot_show: str  # what a low figure does not prove, one sentence
    attempts: int = 0


def verdict(distance: float, limit: float, *, far: float = 2.0) -> Verdict:
    """PASS up to the limit, WARN up to `far` times the limit, FAIL beyond; UNTESTED for NaN."""
    if math.isnan(distance) or math.isnan(limit):
        return Verdict.UNTESTED
    if distance <= limit:
        return Verdict.PASS
    return Verdict.WARN if distance <= far * limit else Verdict.FAIL
