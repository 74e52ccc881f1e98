"""Train on synthetic, test on real: what models learn from synthetic rows, beside what the same
models learn from the real training rows, both on the holdout (Esteban and others 2017, TSTR).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
from lifelines.utils import concordance_index
from scipy.stats import rankdata

from pipeline.evaluation import pathways
from pipeline.evaluation.findings import Estimate
from pipeline.evaluation.learners import classifiers, cox_risks, fits, plain_frame
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, EventLog, Schema

MAX_FIT = 10_000  # rows of a table that a model is fitted to, drawn with a public seed
MAX_TEST = 5_000  # patients of the holdout
MIN_CLASS = 10  # patients of the holdout: a smaller class has no AUC worth a mean
RESAMPLES = 200
COX_CATEGORIES = 10  # of a column; rarer ones are one
COX = "Cox"
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Utility:
    """AUC of a classifier (several classes: the mean of one against the rest), or Harrell's C of a
    survival model, on the holdout; .5 says nothing was learnt. Intervals (95%) are bootstraps over
    the holdout, so they hold for these fits and not for others.
    """

    target: str
    model: str
    on_real: Estimate  # fitted to the training patients
    on_synthetic: Estimate


def utility(
    schema: Schema,
    train: PatientLog,
    holdout: PatientLog,
    synthetic: PatientLog,
    progress: Callable[[str], None],
) -> list[Utility]:
    """Six classifiers for each declared target of categories, then Cox's model where there are
    events that end a pathway. Empty where the holdout is.
    """
    values: list[Utility] = []
    tables = [
        _some(log.patients, most)
        for log, most in ((train, MAX_FIT), (synthetic, MAX_FIT), (holdout, MAX_TEST))
    ]
    for target in schema.targets:
        if target in schema.patients and schema.patients[target].is_categorical:
            values += _classification(schema, target, *tables)
            progress(f"utility: {target}")
    if schema.events is not None and schema.events.terminal and holdout.events is not None:
        logs = [log.of(rows) for log, rows in zip((train, synthetic, holdout), tables, strict=True)]
        values += _survival(schema, schema.events, *logs)
        progress("utility: survival")
    return values


def _some(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    return rows if len(rows) <= most else rows.sample(most, seed=SEED)


def telling(schema: Schema, target: str) -> set[str]:
    """Columns that say what the target is, by declaration: they leave nothing to learn."""
    copies = {name for group in schema.equal if target in group for name in group}
    for rule in schema.implications:
        allowed = list(rule.allowed.values())
        if rule.then == target and all(len(values) == 1 for values in allowed):
            copies.add(rule.given)
        if rule.given == target and len(allowed) > 1:
            every = [value for values in allowed for value in values if value is not None]
            if len(every) == len(set(every)):
                copies.add(rule.then)
    return copies - {target}


def _classification(
    schema: Schema,
    target: str,
    train: pl.DataFrame,
    synthetic: pl.DataFrame,
    holdout: pl.DataFrame,
) -> list[Utility]:
    left_out = {target, *telling(schema, target)}
    columns = {
        name: column
        for name, column in schema.patients.items()
        if name not in left_out and (column.is_categorical or column.is_numeric)
    }
    classes = schema.patients[target].categories
    holdout = holdout.drop_nulls(target)
    truth = holdout[target].cast(pl.String).to_numpy()
    counts = {name: int((truth == name).sum()) for name in classes}
    # of two classes the last is the positive one, as everywhere
    positives = [
        name
        for name in (classes if len(classes) > 2 else classes[-1:])
        if MIN_CLASS <= counts[name] <= len(truth) - MIN_CLASS
    ]
    if not positives or not columns:
        return []
    labels = np.array([truth == name for name in positives])
    fits = [
        class_scores(rows.drop_nulls(target), holdout, columns, target, positives)
        for rows in (train, synthetic)
    ]
    return [
        Utility(
            target=target,
            model=name,
            on_real=_auc_estimate(fits[0][name], labels),
            on_synthetic=_auc_estimate(fits[1][name], labels),
        )
        for name in classifiers()
    ]


def class_scores(
    rows: pl.DataFrame,
    holdout: pl.DataFrame,
    columns: Mapping[str, Column],
    target: str,
    positives: list[str],
) -> dict[str, np.ndarray]:
    """For each classifier fitted to `rows`, float [positives, holdout] scores; 0 for a class that
    the rows do not hold, which gives an AUC of .5.
    """
    labels = rows[target].cast(pl.String).to_numpy()
    if len(set(labels)) < 2:
        return {name: np.zeros((len(positives), len(holdout))) for name in classifiers()}
    return {
        name: fit.scores(positives)
        for name, fit in fits(rows, labels, holdout, columns, boosting_on_codes=True).items()
    }


def _auc_estimate(scores: np.ndarray, labels: np.ndarray) -> Estimate:
    """Mean AUC over classes; scores and labels are [classes, holdout]."""
    random = np.random.default_rng(SEED)
    n = scores.shape[1]
    means = []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, n, n)
        means.append(_mean_auc(scores[:, chosen], labels[:, chosen]))
    low, high = np.nanquantile(means, [0.025, 0.975])
    return Estimate(value=_mean_auc(scores, labels), low=float(low), high=float(high), n=n)


def _mean_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    n_positive = labels.sum(axis=1)
    n_negative = labels.shape[1] - n_positive
    ranks = (rankdata(scores, axis=1) * labels).sum(axis=1)
    usable = (n_positive > 0) & (n_negative > 0)
    wins = ranks - n_positive * (n_positive + 1) / 2
    aucs = wins[usable] / (n_positive * n_negative)[usable]
    return float(aucs.mean()) if len(aucs) else float("nan")


def _survival(
    schema: Schema, log: EventLog, train: PatientLog, synthetic: PatientLog, holdout: PatientLog
) -> list[Utility]:
    """None where nobody in the holdout has the event, or nobody is without it."""
    outcomes = {
        name: pathways.survival(sample, log, None)
        for name, sample in (("train", train), ("synthetic", synthetic), ("holdout", holdout))
    }
    truth = outcomes["holdout"]
    if int(truth["died"].sum()) < MIN_CLASS:
        return []
    facts = {
        name: _facts(schema, sample.patients, outcomes[name], most)
        for name, sample, most in (
            ("train", train, COX_CATEGORIES),
            ("synthetic", synthetic, COX_CATEGORIES),
            ("holdout", holdout, None),  # whichever the fit asks for
        )
    }
    estimates = []
    for name in ("train", "synthetic"):
        outcome = outcomes[name]
        risks = (
            cox_risks(
                facts[name],
                outcome["days"].to_numpy(),
                outcome["died"].to_numpy(),
                facts["holdout"],
            )
            if outcome["died"].any()
            else None
        )
        risks = np.zeros(len(truth)) if risks is None else risks
        estimates.append(_concordance(truth, risks))
    return [
        Utility(
            target=pathways.event_name(log),
            model=COX,
            on_real=estimates[0],
            on_synthetic=estimates[1],
        )
    ]


def _facts(
    schema: Schema, patients: pl.DataFrame, outcomes: pl.DataFrame, most: int | None
) -> pd.DataFrame:
    """Static columns of the patients whose pathway ends, in the order of `outcomes`: numbers, with
    the table's median where missing, and indicators of the `most` commonest categories of a column
    but the first.
    """
    rows = outcomes.select(ID).join(patients, on=ID, maintain_order="left")
    columns = {
        name: column
        for name, column in schema.patients.items()
        if column.is_categorical or column.is_numeric
    }
    frame = plain_frame(rows, columns)
    parts = {}
    for name, column in columns.items():
        if not column.is_categorical:
            parts[name] = frame[name].fillna(frame[name].median()).fillna(0.0)
            continue
        commonest = frame[name].value_counts().index
        for value in commonest if most is None else commonest[1 : most + 1]:
            parts[f"{name}={value}"] = (frame[name] == value).astype(float)
    return pd.DataFrame(parts)


def _concordance(truth: pl.DataFrame, risks: np.ndarray) -> Estimate:
    random = np.random.default_rng(SEED)
    days, died, n = truth["days"].to_numpy(), truth["died"].to_numpy(), len(truth)
    values = []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, n, n)
        if died[chosen].any():
            values.append(concordance_index(days[chosen], -risks[chosen], died[chosen]))
    low, high = np.quantile(values, [0.025, 0.975])
    value = float(concordance_index(days, -risks, died))
    return Estimate(value=value, low=float(low), high=float(high), n=n)
