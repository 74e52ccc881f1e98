"""How two estimates or two tables of counts become a finding: distance, limit, verdict.

A limit is the larger of the one that the analysis is held to and of what two independent real
samples of these sizes would differ by in one case of a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.estimates import (
    SKEW_99,
    Z95,
    Z99,
    joint_error,
    proportion,
    tvd,
    tvd_of_chance,
)
from pipeline.evaluation.findings import Estimate, Finding, Verdict, verdict
from pipeline.schema.patient_log import PatientLog

S = TypeVar("S")
T = TypeVar("T")
Frames = tuple[pl.DataFrame, pl.DataFrame]  # real, synthetic

MIN_PATIENTS, MIN_EVENTS = 200, 30  # real ones; smaller strata are not compared
MIN_SYNTHETIC = 10  # patients below which a synthetic estimate is none
MIN_EXPECTED = 30  # patients: where as many were to be expected, their absence is no chance
TOP = 10  # commonest sites
CLEAR_CASES = 120  # of a term, to be expected: where a model lacks it then, that is no chance


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a finding is about. scale: synthetic patients per real one."""

    analysis: str
    what: str
    measure: str
    unit: str = ""
    group: str = ""
    scale: float = 1.0

    def of(self, what: str, **changes: str) -> Question:
        """The same about something else."""
        return replace(self, what=what, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Coefficient:
    """A log odds or hazard ratio with its standard error; n: patients; cases: how many of them
    speak of the term, that is, lie outside its commonest value.
    """

    value: float
    error: float
    n: int
    cases: int = 0

    @property
    def ratio(self) -> Estimate:
        reach = Z95 * self.error
        low, value, high = (
            math.exp(min(max(number, -50.0), 50.0))
            for number in (self.value - reach, self.value, self.value + reach)
        )
        return Estimate(value=value, low=low, high=high, n=self.n)

    @property
    def log(self) -> Estimate:
        reach = Z95 * self.error
        return Estimate(value=self.value, low=self.value - reach, high=self.value + reach, n=self.n)


def finding(
    question: Question,
    distance: float,
    limit: float,
    real: Estimate | None = None,
    synthetic: Estimate | None = None,
) -> Finding:
    return Finding(
        analysis=question.analysis,
        what=question.what,
        measure=question.measure,
        real=real,
        synthetic=synthetic,
        distance=float(distance),
        limit=float(limit),
        verdict=verdict(distance, limit),
        group=question.group,
        unit=question.unit,
    )


def untested(question: Question, reason: str) -> Finding:
    """No comparison; the reason stands behind what it is about."""
    what = f"{question.what} ({reason})" if question.what else reason
    return finding(question.of(what), math.nan, math.nan)


def absent(
    question: Question, real: Estimate | None, n_real: int, n_synthetic: int
) -> Finding | None:
    """A finding where the synthetic table has next to none of these patients: a failure where
    chance does not explain it. None where it has enough.
    """
    if n_synthetic >= MIN_SYNTHETIC:
        return None
    if n_real * question.scale < MIN_EXPECTED:
        return untested(question, "too few synthetic patients")
    return _failure(question, "hardly any synthetic patients", real)


def not_estimable(question: Question, real: Estimate | None, cases: int) -> Finding:
    """Of a coefficient that the synthetic table does not give; cases: real patients outside the
    commonest value of its term.
    """
    if cases * question.scale < CLEAR_CASES:
        return untested(question, "not estimable")
    return _failure(question, "not estimable in the synthetic table", real)


def _failure(question: Question, reason: str, real: Estimate | None) -> Finding:
    about = question.of(f"{question.what} ({reason})")
    return Finding(
        analysis=about.analysis,
        what=about.what,
        measure=about.measure,
        real=real,
        synthetic=None,
        distance=math.inf,
        limit=0.0,
        verdict=Verdict.FAIL,
        group=about.group,
        unit=about.unit,
    )


def difference(
    question: Question, real: Estimate, synthetic: Estimate, limit: float, z: float = Z99
) -> Finding:
    """The absolute difference of two estimates, whose intervals tell the sampling error."""
    if lack := absent(question, real, real.n, synthetic.n):
        return lack
    return finding(
        question,
        abs(real.value - synthetic.value),
        max(limit, z * joint_error(real, synthetic)),
        real,
        synthetic,
    )


def coefficient_difference(
    question: Question, real: Coefficient, synthetic: Coefficient | None, limit: float = 0.1
) -> Finding:
    """The absolute difference of two log ratios, which are shown as ratios."""
    if synthetic is None or synthetic.n < MIN_SYNTHETIC:
        return not_estimable(question, real.ratio, real.cases)
    return finding(
        question,
        abs(real.value - synthetic.value),
        max(limit, Z99 * math.hypot(real.error, synthetic.error)),
        real.ratio,
        synthetic.ratio,
    )


def share_distance(
    question: Question,
    real: np.ndarray,
    synthetic: np.ndarray,
    limit: float,
    sizes: tuple[float, float] | None = None,
) -> Finding:
    """TVD of two tables of counts in the same cells, less what chance alone makes of it on average.

    sizes: patients, where cells count several rows of one.
    """
    n, m = sizes or (float(real.sum()), float(synthetic.sum()))
    if lack := absent(question, None, int(n), int(m)):
        return lack
    expectation, deviation = tvd_of_chance(real, synthetic, sizes)
    return finding(
        question,
        max(0.0, tvd(real, synthetic) - expectation),
        max(limit, SKEW_99 * deviation),
        Estimate(value=math.nan, n=int(n)),
        Estimate(value=math.nan, n=int(m)),
    )


def counts(frames: Frames, column: str) -> tuple[np.ndarray, np.ndarray]:
    """How many rows have each value of a column (null is one), the commonest real ones first."""
    first, second = (
        frame.group_by(pl.col(column).cast(pl.String).fill_null("missing").alias("name")).len()
        for frame in frames
    )
    table = (
        first.join(second, on="name", how="full", coalesce=True)
        .with_columns(pl.col("len", "len_right").fill_null(0).cast(pl.Float64))
        .sort("len", "name", descending=[True, False])
    )
    return table["len"].to_numpy(), table["len_right"].to_numpy()


def commonest(frame: pl.DataFrame, column: str, n: int = TOP) -> list[str]:
    """The commonest values of a column with MIN_PATIENTS or more rows, missing left out."""
    sizes = frame.group_by(column).len().drop_nulls().filter(pl.col("len") >= MIN_PATIENTS)
    return sizes.sort("len", column, descending=[True, False])[column].head(n).to_list()


def both(make: Callable[[S], T], pair: tuple[S, S]) -> tuple[T, T]:
    """The same of the real and of the synthetic table."""
    return make(pair[0]), make(pair[1])


def strata(
    frames: Frames, columns: list[str], n: int = TOP
) -> Iterator[tuple[tuple[str, ...], Frames]]:
    """(values, (real rows, synthetic rows)) of the n commonest combinations of columns that have
    MIN_PATIENTS or more real rows.
    """
    real, synthetic = frames
    sizes = (
        real.drop_nulls(columns)
        .group_by(columns)
        .len()
        .filter(pl.col("len") >= MIN_PATIENTS)
        .sort("len", *columns, descending=[True, *[False] * len(columns)])
        .head(n)
    )
    parts: list[Mapping[tuple[object, ...], pl.DataFrame]] = [
        frame.partition_by(columns, as_dict=True) for frame in (real, synthetic)
    ]
    for row in sizes.select(columns).iter_rows():
        yield row, (parts[0][row], parts[1].get(row, synthetic.clear()))


def scale(frames: Frames) -> float:
    """Synthetic patients per real one."""
    return len(frames[1]) / max(len(frames[0]), 1)


def scale_of(real: PatientLog, synthetic: PatientLog) -> float:
    """Synthetic patients per real one."""
    return scale((real.patients, synthetic.patients))


def proportions(parts: Frames, flag: str) -> tuple[Estimate, Estimate]:
    """Share of rows in which a column is true, in per cent; rows without a value do not count."""
    first, second = (part[flag].drop_nulls() for part in parts)
    return proportion(int(first.sum()), len(first)), proportion(int(second.sum()), len(second))
