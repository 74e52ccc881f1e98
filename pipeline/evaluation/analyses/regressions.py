"""Cox and logistic models with the same terms on both tables, on at most MAX_ROWS patients."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import statsmodels.api as sm
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from statsmodels.tools.sm_exceptions import PerfectSeparationError

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    Coefficient,
    Question,
    coefficient_difference,
    finding,
    not_estimable,
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
CLEAR_ERRORS = 2.0  # standard errors from 0 of a real coefficient whose sign is compared
MIN_HITS = 5  # of them with the outcome
WEEK = 7  # days
MAX_LOG_RATIO = 10.0  # beyond: the table separates, and the coefficient is none


@dataclass(frozen=True)
class Model:
    """Coefficients by term; concordance is None for a logistic model."""

    coefficients: Mapping[str, Coefficient]
    n: int
    concordance: Estimate | None = None


def cox(rows: pl.DataFrame, terms: Sequence[str]) -> Model | None:
    """Of `days` and `died`, in whole weeks, which changes no ratio and saves most of the time. Ties
    after Efron; None where too few died, no term varies, or the steps do not converge.
    """
    rows = _sample(rows.select(*terms, "days", "died").drop_nulls())
    cases = _varying(rows, terms, "died")
    terms, deaths = list(cases), int(rows["died"].sum())
    if not terms or deaths < MIN_CASES:
        return None
    design = rows.select(
        *(pl.col(term).cast(pl.Float64) for term in terms),
        (pl.col("days") // WEEK).cast(pl.Float64) + 0.5,  # a death on day 0 counts
        "died",
    ).to_pandas()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = CoxPHFitter().fit(design, "days", "died")
    except (ConvergenceError, np.linalg.LinAlgError):
        return None
    share = float(fit.concordance_index_)
    return Model(
        _coefficients(cases, fit.params_.to_numpy(), fit.standard_errors_.to_numpy(), len(rows)),
        len(rows),
        # deviation of a rank statistic with as many pairs' winners as deaths
        around(share, math.sqrt(share * (1 - share) / deaths), len(rows)),
    )


def logit(rows: pl.DataFrame, outcome: str, terms: Sequence[str]) -> Model | None:
    """Of a true-or-false outcome; None where too few are either or no term varies."""
    rows = _sample(rows.select(*terms, outcome).drop_nulls())
    cases = _varying(rows, terms, outcome)
    terms = list(cases)
    hits = int(rows[outcome].cast(pl.Int64).sum()) if len(rows) else 0
    if not terms or min(hits, len(rows) - hits) < MIN_CASES:
        return None
    features = sm.add_constant(rows.select(terms).cast(pl.Float64).to_numpy(), has_constant="add")
    outcomes = rows[outcome].cast(pl.Float64).to_numpy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = sm.Logit(outcomes, features).fit(disp=0, maxiter=50)
    except (PerfectSeparationError, np.linalg.LinAlgError):
        return None
    return Model(_coefficients(cases, fit.params[1:], fit.bse[1:], len(rows)), len(rows))


def without(model: Model | None, terms: Collection[str]) -> Model | None:
    """Terms that are there to be adjusted for, not to be reported, left out."""
    if model is None:
        return None
    rest = {term: one for term, one in model.coefficients.items() if term not in terms}
    return replace(model, coefficients=rest)


def _coefficients(
    cases: Mapping[str, int], values: np.ndarray, errors: np.ndarray, n: int
) -> dict[str, Coefficient]:
    """Those that are finite and not those of a table that separates."""
    return {
        term: Coefficient(float(value), float(error), n, cases[term])
        for term, value, error in zip(cases, values, errors, strict=True)
        if abs(value) < MAX_LOG_RATIO and error < MAX_LOG_RATIO
    }


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, seed=1)


def _varying(rows: pl.DataFrame, terms: Sequence[str], outcome: str) -> dict[str, int]:
    """Terms of full rank together with MIN_CASES patients outside their commonest value, and how
    many these are; of a term of two values, MIN_HITS patients of either have the outcome, and a
    term of fewer hits has as many fewer cases.
    """
    cases: dict[str, int] = {}
    matrix = np.ones((len(rows), 1))
    for term in terms:
        values = rows[term].cast(pl.Float64)
        base = values.mode().min() if len(values) else None
        others = rows.filter(values != base) if base is not None else rows.head(0)
        hits, rest = int(others[outcome].sum()), int(rows[outcome].sum())
        wider = np.column_stack([matrix, values.to_numpy()])
        n = len(others)
        if values.n_unique() <= 2:
            n = min(n, min(hits, rest - hits) * MIN_CASES // MIN_HITS)
        if n >= MIN_CASES and _rank(wider) > _rank(matrix):
            cases[term] = n
            matrix = wider
    return cases


def _rank(matrix: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(matrix.T @ matrix, hermitian=True))


def compared(
    question: Question, real: Model | None, synthetic: Model | None, least: float = 0.6
) -> list[Finding]:
    """A finding for each coefficient of the real model, within .1, and their mean interval overlap,
    at least `least`.
    """
    if real is None:
        return [untested(question, "too few cases or not estimable")]
    if synthetic is None:
        most = max((one.cases for one in real.coefficients.values()), default=0)
        return [not_estimable(question, None, most)]
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
        if term in synthetic.coefficients and abs(one.value) > CLEAR_ERRORS * one.error
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
