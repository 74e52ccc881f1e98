"""A28: whether a subgroup is served as well as everybody: its share of the patients, its survival
after 1 and 3 years, its treatment rates, and its hazard ratios (age, sex, stage 4).

Groups: sex, age (under 50, 50 to 64, 65 to 79, 80 and over), the five ethnic groups, fifths of
deprivation; in other datasets the values of the declaration's first four categorical
quasi-identifiers, and of the target. `worst_groups` names the worst of each kind. Limits:
those of a stratum in A7, A11 and A13; a share as a cell of A4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    MIN_EVENTS,
    MIN_PATIENTS,
    Frames,
    Question,
    absent,
    both,
    difference,
    finding,
    proportions,
    scale,
    strata,
)
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR, SKEW_99, Z99, proportion
from pipeline.evaluation.analyses.registry_patients import LABELS, registry_patients, single
from pipeline.evaluation.analyses.regressions import cox
from pipeline.evaluation.analyses.survival import curve, outcomes
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT_SHARE, LIMIT_ALIVE, LIMIT_RATE, LIMIT_LOG_RATIO = 0.1, 4.0, 3.0, 0.1
YEARS, MIN_WATCHED = (1, 3), 30
TERMS = ("age10", "male", "stage4", "stage_unknown")
AGES = {"under 50": (0, 49), "50 to 64": (50, 64), "65 to 79": (65, 79), "80 and over": (80, 200)}
MAX_VALUES, MAX_COLUMNS = 6, 4
MAX_MODEL_ROWS = 10_000


@dataclass(frozen=True)
class Group:
    """Its kind ("Ethnicity"), name ("Black"), and rows of both tables."""

    kind: str
    name: str
    parts: Frames

    @property
    def label(self) -> str:
        return f"{self.kind}: {self.name}"


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    is_registry = all(name in schema.patients for name in ("SITE_GROUP", "AGE", "GENDER"))
    frames = both(lambda log: _rows(schema, log, is_registry), (real, synthetic))
    question = Question(analysis="A28", what="", measure="", scale=scale(frames))
    groups = _registry_groups(schema, frames) if is_registry else _other_groups(schema, frames)
    findings = []
    for group in groups:
        about = question.of(group.label, group=group.label)
        findings.append(_share(about, group.parts, frames))
        if schema.events is not None:
            findings += _survival(about, group.parts)
        if is_registry and "drugs" in frames[0].columns:
            findings += _rates(about, group.parts)
            findings += _hazards(about, group.parts)
    return findings


def _rows(schema: Schema, log: PatientLog, is_registry: bool) -> pl.DataFrame:
    if schema.events is None:
        return log.patients
    return registry_patients(schema, log) if is_registry else outcomes(schema, log)


def _registry_groups(schema: Schema, frames: Frames) -> Iterator[Group]:
    for (code,), parts in strata(frames, ["GENDER"], MAX_VALUES):
        yield Group("Sex", words.value(schema, "GENDER", code), parts)
    for name, (low, high) in AGES.items():
        first, second = (frame.filter(pl.col("AGE").is_between(low, high)) for frame in frames)
        if len(first) >= MIN_PATIENTS:
            yield Group("Age", name, (first, second))
    for column, kind in (("ethnic_group", "Ethnicity"), ("QUINTILE_2019", "Deprivation")):
        if column in frames[0].columns:
            for (code,), parts in strata(frames, [column], MAX_VALUES):
                yield Group(kind, words.value(schema, column, code), parts)


def _other_groups(schema: Schema, frames: Frames) -> Iterator[Group]:
    names = [
        name
        for name in dict.fromkeys((*schema.quasi_identifiers, *schema.strata, *schema.targets))
        if name in schema.patients and schema.patients[name].is_categorical
    ]
    for name in names[:MAX_COLUMNS]:
        for (code,), parts in strata(frames, [name], MAX_VALUES):
            yield Group(words.title(name), words.value(schema, name, str(code)), parts)


def _share(question: Question, parts: Frames, frames: Frames) -> Finding:
    about = question.of(
        f"{question.what}: share of patients",
        measure="relative difference of the share of patients",
        unit="%",
    )
    n, m = len(parts[0]), len(parts[1])
    shares = proportion(n, len(frames[0])), proportion(m, len(frames[1]))
    if lack := absent(about, shares[0], n, m):
        return lack
    error = math.sqrt(max(0.0, 1 / n - 1 / len(frames[0]) + 1 / m - 1 / len(frames[1])))
    distance = abs(math.log(shares[1].value / shares[0].value))
    return finding(about, distance, max(LIMIT_SHARE, Z99 * error), *shares)


def _survival(question: Question, parts: Frames) -> list[Finding]:
    first, second = both(curve, parts)
    if first.deaths < MIN_EVENTS:
        return []
    about = question.of(question.what, measure="difference of survival, in points", unit="%")
    return [
        difference(
            about.of(f"{question.what}: alive after {words.years(year)}"),
            first.at(year * DAYS_PER_YEAR),
            second.at(year * DAYS_PER_YEAR),
            LIMIT_ALIVE,
        )
        for year in YEARS
        if first.watched(year * DAYS_PER_YEAR) >= MIN_WATCHED
    ]


def _rates(question: Question, parts: Frames) -> list[Finding]:
    inside = both(single, parts)
    about = question.of(question.what, measure="difference, in points", unit="%")
    return [
        difference(
            about.of(f"{question.what}: {label.lower()}"), *proportions(inside, name), LIMIT_RATE
        )
        for name, label in LABELS.items()
        if len(inside[0]) >= MIN_PATIENTS
    ]


def _hazards(question: Question, parts: Frames) -> list[Finding]:
    """Mean absolute difference of the log hazard ratios."""
    about = question.of(
        f"{question.what}: hazard ratios", measure="mean difference of log hazard ratios"
    )
    first, second = both(lambda rows: cox(_sample(rows), TERMS), parts)
    if first is None or second is None:
        return []
    terms = [term for term in first.coefficients if term in second.coefficients]
    if not terms:
        return []
    pairs = [(first.coefficients[term], second.coefficients[term]) for term in terms]
    gaps = np.array([abs(one.value - other.value) for one, other in pairs])
    errors = np.array([math.hypot(one.error, other.error) for one, other in pairs])
    # mean of half-normal deviations, taken as independent
    chance = math.sqrt(2 / math.pi) * errors.mean() + SKEW_99 * 0.603 * float(
        np.sqrt((errors**2).sum())
    ) / len(errors)
    sizes = (Estimate(value=math.nan, n=model.n) for model in (first, second))
    return [finding(about, float(gaps.mean()), max(LIMIT_LOG_RATIO, chance), *sizes)]


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if len(rows) <= MAX_MODEL_ROWS else rows.sample(MAX_MODEL_ROWS, seed=1)


ANALYSIS = Analysis(number="A28", name="Subgroups", needs=(), run=run)
