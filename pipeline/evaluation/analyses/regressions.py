"""Cox and logistic models with the same terms on both tables, on at most MAX_ROWS patients."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import statsmodels.api as sm
from lifelines import CoxPHFitter

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    Coefficient,
    Question,
    absent,
    coefficient_difference,
    finding,
    untested,
)
from pipeline.evaluation.analyses.estimates import (
    Z99,
    around,
    interval_overlap,
    joint_error,
    overlap_loss_of_chance,
)
from pipeline.evaluation.findings import Estimate, Finding

MAX_ROWS = 50_000  # patients of a model; more are sampled
MIN_CASES = 30  # patients with and without a term or an outcome, for it to be in a model
HELD_SIGNS = 2.0  # standard errors from 0 of a real coefficient whose sign is compared
MAX_LOG_RATIO = 10.0  # beyond: the table separates, and the coefficient is none


@dataclass(frozen=True)
class Model:
    """Coefficients by term; concordance is None for a logistic model."""

    coefficients: Mapping[str, Coefficient]
    n: int
    concordance: Estimate | None = None


def cox(rows: pl.DataFrame, terms: Sequence[str], strata: str | None = None) -> Model | None:
    """Of `days` and `died`. Ties after Efron; None where too few died or no term varies."""
    columns = [*terms, "days", "died", *([strata] if strata else [])]
    rows = _sample(rows.select(columns).drop_nulls())
    terms = _varying(rows, terms)
    deaths = int(rows["died"].sum())
    if not terms or deaths < MIN_CASES:
        return None
    design = rows.select(
        *(pl.col(term).cast(pl.Float64) for term in terms),
        pl.col("days").cast(pl.Float64) + 0.5,  # a death on day 0 counts
        "died",
        *([strata] if strata else []),
    ).to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = CoxPHFitter().fit(design, "days", "died", strata=[strata] if strata else None)
    pairs = zip(terms, fit.params_.to_numpy(), fit.standard_errors_.to_numpy(), strict=True)
    share = float(fit.concordance_index_)
    return Model(
        _usable({term: Coefficient(float(b), float(se), len(rows)) for term, b, se in pairs}),
        len(rows),
        # deviation of a rank statistic with as many pairs' winners as deaths
        around(share, math.sqrt(share * (1 - share) / deaths), len(rows)),
    )


def logit(rows: pl.DataFrame, outcome: str, terms: Sequence[str]) -> Model | None:
    """Of a true-or-false outcome; None where too few are either or no term varies."""
    rows = _sample(rows.select(*terms, outcome).drop_nulls())
    terms = _varying(rows, terms)
    hits = int(rows[outcome].cast(pl.Int64).sum()) if len(rows) else 0
    if not terms or min(hits, len(rows) - hits) < MIN_CASES:
        return None
    features = sm.add_constant(rows.select(terms).cast(pl.Float64).to_numpy(), has_constant="add")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.Logit(rows[outcome].cast(pl.Float64).to_numpy(), features).fit(disp=0, maxiter=50)
    pairs = zip(terms, fit.params[1:], fit.bse[1:], strict=True)
    return Model(
        _usable({term: Coefficient(float(b), float(se), len(rows)) for term, b, se in pairs}),
        len(rows),
    )


def _usable(coefficients: Mapping[str, Coefficient]) -> dict[str, Coefficient]:
    return {
        term: one
        for term, one in coefficients.items()
        if math.isfinite(one.value)
        and math.isfinite(one.error)
        and max(abs(one.value), one.error) < MAX_LOG_RATIO
    }


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, seed=1)


def _varying(rows: pl.DataFrame, terms: Sequence[str]) -> list[str]:
    """Terms with MIN_CASES patients outside their commonest value, of full rank together."""
    names: list[str] = []
    matrix = np.ones((len(rows), 1))
    for term in terms:
        if len(rows) == 0:
            break
        values = rows[term].cast(pl.Float64)
        commonest = int(values.value_counts()["count"].max())  # type: ignore[arg-type]
        wider = np.column_stack([matrix, values.to_numpy()])
        if len(rows) - commonest >= MIN_CASES and _rank(wider) > _rank(matrix):
            names.append(term)
            matrix = wider
    return names


def _rank(matrix: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(matrix.T @ matrix))


def compared(
    question: Question, real: Model | None, synthetic: Model | None, least: float = 0.6
) -> list[Finding]:
    """A finding for each coefficient of the real model, within .1, and their mean interval overlap,
    at least `least`.
    """
    if real is None:
        return [untested(question, "too few cases")]
    if synthetic is None:
        return [absent(question, None, real.n, 0) or untested(question, "too few synthetic cases")]
    parts = synthetic.coefficients
    findings = [
        coefficient_difference(
            question.of(f"{question.what}: {words.TERMS.get(term, term)}"),
            one,
            parts.get(term),
        )
        for term, one in real.coefficients.items()
    ]
    return [*findings, *overlap(question, real, synthetic, least)]


def overlap(question: Question, real: Model, synthetic: Model, least: float) -> list[Finding]:
    """1 less the mean overlap of the intervals of the models' common coefficients."""
    both = [term for term in real.coefficients if term in synthetic.coefficients]
    shares = [
        interval_overlap(real.coefficients[term].log, synthetic.coefficients[term].log)
        for term in both
    ]
    if not shares:
        return []
    about = question.of(
        f"{question.what}: overlap of all intervals",
        measure="1 - mean overlap of 95% intervals",
        unit="",
    )
    limit = max(1 - least, overlap_loss_of_chance(len(both)))
    return [finding(about, max(0.0, 1 - float(np.mean(shares))), limit)]


def signs(question: Question, pairs: Sequence[tuple[Model, Model]]) -> Finding:
    """Share of clear real coefficients whose synthetic one has the other sign; 5% may, and what
    chance turns of those that lie near 0.
    """
    clear = [
        (one, synthetic.coefficients[term])
        for real, synthetic in pairs
        for term, one in real.coefficients.items()
        if term in synthetic.coefficients and abs(one.value) > HELD_SIGNS * one.error
    ]
    if not clear:
        return untested(question, "no clear coefficient")
    turns = sum(one.value * other.value < 0 for one, other in clear)
    share, n = 0.05, len(clear)
    limit = share + Z99 * math.sqrt(share * (1 - share) / n)
    return finding(question, turns / n, limit)


def concordance_difference(question: Question, real: Model, synthetic: Model) -> list[Finding]:
    """Of two Cox models, within .02."""
    if real.concordance is None or synthetic.concordance is None:
        return []
    about = question.of(
        f"{question.what}: concordance", measure="difference of concordance", unit="concordance"
    )
    gap = abs(real.concordance.value - synthetic.concordance.value)
    limit = max(0.02, Z99 * joint_error(real.concordance, synthetic.concordance))
    return [finding(about, gap, limit, real.concordance, synthetic.concordance)]
