"""A21: runs of two and three types of event (Jensen-Shannon divergence of the 50 commonest), the
first treatment, events per patient, and what follows each type of event.

Limits: divergence .05 (base 2); Kolmogorov-Smirnov distance of the lengths .05; mean L1 distance of
the rows of the transition matrix .1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    absent,
    both,
    counts,
    finding,
    scale_of,
    share_distance,
    strata,
    untested,
)
from pipeline.evaluation.analyses.estimates import (
    SKEW_99,
    ks,
    ks_of_chance,
    mean,
    tvd,
    tvd_of_chance,
)
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.evaluation.pathways import lengths
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema

TOP_GRAMS, LIMIT_DIVERGENCE, LIMIT_KS, LIMIT_L1, LIMIT_TVD = 50, 0.05, 0.05, 0.1, 0.05
END = "end"


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    assert schema.events is not None
    question = Question(
        analysis="A21",
        what="",
        measure="Jensen-Shannon divergence of the 50 commonest",
        scale=scale_of(real, synthetic),
    )
    sizes = len(real.patients), len(synthetic.patients)
    if sizes[0] < MIN_PATIENTS:
        return [untested(question.of("Sequences"), "too few patients")]
    if lack := absent(question.of("Sequences"), None, *sizes):
        return [lack]
    findings = [_grams(question.of(f"Runs of {n} events"), (real, synthetic), n) for n in (2, 3)]
    findings.append(_first_treatment(question, schema.events, (real, synthetic)))
    findings.append(_lengths(question, (real, synthetic)))
    findings.append(_transitions(question, (real, synthetic)))
    return findings


def grams(log: PatientLog, n: int) -> pl.DataFrame:
    """`gram`: each run of n types of event within a patient, once for each patient."""
    parts = [pl.col("type").shift(-place) for place in range(n)]
    is_whole = pl.col(ID).shift(1 - n) == pl.col(ID)
    return (
        log.pathways.sort(ID, "seq")
        .with_columns(gram=pl.concat_str(parts, separator=" > "), whole=is_whole)
        .filter("whole")
        .select(ID, "gram")
        .unique()
    )


def _grams(question: Question, logs: tuple[PatientLog, PatientLog], n: int) -> Finding:
    first, second = (
        table[:TOP_GRAMS] for table in counts(both(lambda log: grams(log, n), logs), "gram")
    )
    if min(first.sum(), second.sum()) == 0:
        return untested(question, "no runs")
    # expectation of the divergence of two samples: (cells - 1) / (8 ln 2) (1/n + 1/m)
    patients = [len(log.patients) for log in logs]
    chance = (len(first) - 1) / (8 * math.log(2)) * sum(1 / max(one, 1) for one in patients)
    return finding(question, jensen_shannon(first, second), max(LIMIT_DIVERGENCE, 3 * chance))


def jensen_shannon(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Divergence of two tables of counts in bits, 0 to 1."""
    p, q = real / real.sum(), synthetic / synthetic.sum()
    middle = (p + q) / 2
    parts = [
        float((one[one > 0] * np.log2(one[one > 0] / middle[one > 0])).sum()) for one in (p, q)
    ]
    return max(0.0, sum(parts) / 2)


def _first_treatment(
    question: Question, events: EventLog, logs: tuple[PatientLog, PatientLog]
) -> Finding:
    kinds = list(events.treatments) or [
        name for name, kind in events.types.items() if not kind.terminal and kind.at_most != 1
    ]
    frames = both(lambda log: _firsts(log, kinds), logs)
    about = question.of("First treatment", measure="total variation distance beyond chance")
    return share_distance(about, *counts(frames, "type"), LIMIT_TVD)


def _firsts(log: PatientLog, kinds: Sequence[str]) -> pl.DataFrame:
    """`type` of each patient's first event of these kinds, null for a patient without one."""
    firsts = (
        log.pathways.filter(pl.col("type").is_in(kinds))
        .sort(ID, "seq")
        .unique(ID, keep="first", maintain_order=True)
    )
    return log.patients.select(ID).join(firsts.select(ID, "type"), on=ID, how="left")


def _lengths(question: Question, logs: tuple[PatientLog, PatientLog]) -> Finding:
    about = question.of("Events per patient", measure="Kolmogorov-Smirnov distance", unit="events")
    first, second = both(lambda log: lengths(log.pathways).astype(float), logs)
    if min(len(first), len(second)) == 0:
        return untested(about, "no events")
    limit = max(LIMIT_KS, ks_of_chance(len(first), len(second)))
    return finding(about, ks(first, second), limit, *both(mean, (first, second)))


def _transitions(question: Question, logs: tuple[PatientLog, PatientLog]) -> Finding:
    """Mean over types of event, by real frequency, of the L1 distance of what follows."""
    frames = both(transitions, logs)
    distances, weights, deviations = [], [], []
    for (_,), parts in strata(frames, ["type"], 50):
        sizes = [float(part[ID].n_unique()) for part in parts]
        if min(sizes) < MIN_PATIENTS:
            continue
        table = counts(parts, "next")
        expectation, deviation = tvd_of_chance(*table, (sizes[0], sizes[1]))
        distances.append(2 * max(0.0, tvd(*table) - expectation))
        weights.append(len(parts[0]))
        deviations.append(2 * deviation)
    about = question.of("What follows what", measure="mean L1 distance of transitions")
    if not distances:
        return untested(about, "too few transitions")
    limit = max(LIMIT_L1, SKEW_99 * float(np.average(deviations, weights=weights)))
    return finding(about, float(np.average(distances, weights=weights)), limit)


def transitions(log: PatientLog) -> pl.DataFrame:
    """Each event's `type` and that of the `next`."""
    return (
        log.pathways.sort(ID, "seq")
        .with_columns(
            next=pl.when(pl.col(ID).shift(-1) == pl.col(ID))
            .then(pl.col("type").shift(-1))
            .otherwise(pl.lit(END))
        )
        .select(ID, "type", "next")
    )


ANALYSIS = Analysis(number="A21", name="Sequences of events", needs=("events",), run=run)
