"""A22: the directly-follows graph (edge weights: share of all steps) and the variants: how many
patients the 20 commonest sequences of events cover.

A run of the same type is one step of a variant, so that a cycle more is no other variant. Limits:
weighted Jaccard index of the edges .85; coverage 5 points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.a21_sequences import transitions
from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    absent,
    both,
    counts,
    difference,
    finding,
    scale_of,
    share_distance,
    untested,
)
from pipeline.evaluation.analyses.estimates import SKEW_99, proportion, tvd, tvd_of_chance
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT_JACCARD, LIMIT_COVERAGE, TOP_VARIANTS = 0.15, 5.0, 20


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A22",
        what="Directly-follows graph",
        measure="1 - weighted Jaccard index of the edges",
        scale=scale_of(real, synthetic),
    )
    sizes = len(real.patients), len(synthetic.patients)
    if sizes[0] < MIN_PATIENTS:
        return [untested(question, "too few patients")]
    if lack := absent(question, None, *sizes):
        return [lack]
    first, second = counts(both(_edges, (real, synthetic)), "edge")
    # 1 - J = 2 TVD / (1 + TVD); what chance makes of the TVD is taken off before
    expectation, deviation = tvd_of_chance(first, second, sizes)
    excess, reach = max(0.0, tvd(first, second) - expectation), SKEW_99 * deviation
    graph = finding(
        question, 2 * excess / (1 + excess), max(LIMIT_JACCARD, 2 * reach / (1 + reach))
    )
    about = question.of(
        "Patients covered by the 20 commonest variants",
        measure="difference, in points",
        unit="%",
    )
    shares = both(_coverage, (real, synthetic))
    return [graph, difference(about, *shares, LIMIT_COVERAGE), _variants(question, real, synthetic)]


def _edges(log: PatientLog) -> pl.DataFrame:
    return transitions(log).select(
        edge=pl.concat_str([pl.col("type"), pl.col("next")], separator=" > ")
    )


def variants(log: PatientLog) -> pl.DataFrame:
    """`variant`: each patient's sequence of types, runs of one type once."""
    return (
        log.pathways.sort(ID, "seq")
        .filter(
            pl.col("type").ne_missing(pl.col("type").shift(1))
            | pl.col(ID).ne_missing(pl.col(ID).shift(1))
        )
        .group_by(ID)
        .agg(variant=pl.col("type").str.join(" > "))
    )


def _coverage(log: PatientLog) -> Estimate:
    sizes = variants(log)["variant"].value_counts(sort=True)["count"]
    return proportion(int(sizes.head(TOP_VARIANTS).sum()), int(sizes.sum()))


def _variants(question: Question, real: PatientLog, synthetic: PatientLog) -> Finding:
    """Shares of the 20 commonest real variants, the rest as one."""
    table = counts(both(variants, (real, synthetic)), "variant")
    first, second = (np.append(one[:TOP_VARIANTS], one[TOP_VARIANTS:].sum()) for one in table)
    about = question.of(
        "The 20 commonest variants", measure="total variation distance beyond chance"
    )
    return share_distance(about, first, second, LIMIT_COVERAGE / 100)


ANALYSIS = Analysis(number="A22", name="Process mining", needs=("events",), run=run)
