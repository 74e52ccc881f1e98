"""A17: the fifteen commonest drug regimens of a site: their order (rank-biased overlap with p = .9,
Webber et al. 2010, ACM TOIS 28(4), section 4, to depth 15 and scaled to 1 for equal lists) and
their shares.

A patient counts once for each regimen. Limits: overlap .8; a share 3 points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Frames,
    Question,
    absent,
    both,
    counts,
    finding,
    scale_of,
    strata,
)
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

DEPTH, PERSISTENCE = 15, 0.9
LIMIT_OVERLAP, LIMIT_SHARE = 0.2, 3.0
DRAWS = 200


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(
        lambda log: (
            log.pathways.filter(pl.col("type") == "SACT_REGIMEN")
            .select(ID, "code")
            .unique()
            .join(log.patients.select(ID, "SITE_GROUP"), on=ID)
        ),
        (real, synthetic),
    )
    question = Question(
        analysis="A17",
        what="",
        measure="1 - rank-biased overlap",
        scale=scale_of(real, synthetic),
    )
    findings = []
    for (site,), parts in strata(frames, ["SITE_GROUP"]):
        if parts[0][ID].n_unique() >= MIN_PATIENTS:
            findings += _regimens(question.of(site), parts)
    return findings


def _regimens(question: Question, parts: Frames) -> list[Finding]:
    sizes = parts[0][ID].n_unique(), parts[1][ID].n_unique()
    if lack := absent(question.of(f"{question.what}: regimens"), None, *sizes):
        return [lack]
    first, second = counts(parts, "code")
    order = question.of(f"{question.what}: order of the commonest regimens")
    shares = question.of(
        f"{question.what}: shares of the commonest regimens",
        measure="largest difference of a share, in points",
    )
    overlap, gap = _distances(first, second)
    draw = np.random.default_rng(1)
    chance = np.array(
        [
            _distances(
                draw.multinomial(int(first.sum()), first / first.sum()).astype(float),
                draw.multinomial(int(second.sum()), first / first.sum()).astype(float),
            )
            for _ in range(DRAWS)
        ]
    )
    limits = np.quantile(chance, 0.99, axis=0)
    return [
        finding(order, overlap, max(LIMIT_OVERLAP, float(limits[0]))),
        finding(shares, gap, max(LIMIT_SHARE, float(limits[1]))),
    ]


def _distances(real: np.ndarray, synthetic: np.ndarray) -> tuple[float, float]:
    """(1 - overlap of the ranks, largest difference of a share of the commonest, in points)."""
    top = np.argsort(-real, kind="stable")[:DEPTH]
    gaps = np.abs(real / real.sum() - synthetic / synthetic.sum())[top]
    other = np.argsort(-synthetic, kind="stable")[:DEPTH]
    return 1 - rank_biased_overlap(top.tolist(), other.tolist()), 100 * float(gaps.max())


def rank_biased_overlap(first: Sequence, second: Sequence) -> float:
    """1 for equal lists, 0 for lists without a common member."""
    depth = min(DEPTH, max(len(first), len(second)))
    weights = PERSISTENCE ** np.arange(depth)
    agreement = [len(set(first[: d + 1]) & set(second[: d + 1])) / (d + 1) for d in range(depth)]
    return float((weights * agreement).sum() / weights.sum())


ANALYSIS = Analysis(
    number="A17", name="Commonest drug regimens", needs=("SITE_GROUP", "SACT_REGIMEN"), run=run
)
