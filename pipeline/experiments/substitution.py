"""substitution: what it costs to train on synthetic rows in place of real ones, a part of them or
all. The workshop that this follows lost at most about 6 points of accuracy over six to seven sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from pipeline.experiments.arms import (
    EPSILONS,
    TEST,
    epsilon_words,
    model_of,
    runs_of,
    split,
    synthetic,
)
from pipeline.experiments.results import Results, Row, averages, mean_with_interval, points, table
from pipeline.experiments.scores import measures, predictions, truth_of
from pipeline.experiments.sets import FILES, PACKAGES, PublicTable
from pipeline.schema.patient_log import ID

NAME = "substitution"
SETS = (*FILES, *PACKAGES)
SPLITS = 3
MOST = 20_000  # training rows; of larger tables a sample
PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the training rows that are synthetic
LARGE = 10_000  # rows of a table that the mark of 3 points is asked of


def runs(tables: Sequence[PublicTable], splits: int, epsilons: Sequence[float]) -> list[Row]:
    """The small tables first."""
    sets = [one.schema.dataset for one in sorted(tables, key=lambda one: len(one.rows))]
    return runs_of(NAME, sets, splits, epsilons)


def run(tables: Sequence[PublicTable], facts: Row) -> Iterator[Row]:
    """One fit: the training rows with a part of them replaced."""
    [own] = [one for one in tables if one.schema.dataset == facts["set"]]
    train, test = split(own.rows, [own.target], TEST, facts["split"])
    real = train.sample(min(MOST, len(train)), seed=facts["split"]).drop(ID)
    fit_rows = real.with_row_index(ID, 1)
    model = model_of(own.schema, fit_rows.cast({ID: pl.Int64}), facts["epsilon"])
    fake = synthetic(model, len(real), facts["split"]).select(real.columns)
    fake = fake.cast(dict(zip(real.columns, real.dtypes, strict=True)))
    truth = truth_of(own.schema, own.target, test)
    for part in PARTS:
        n = round(part * len(real))
        rows = pl.concat([fake.head(n), real.tail(len(real) - n)])
        scores = measures(truth, predictions(own.schema, own.target, rows, test), {})
        for classifier, values in (*scores.items(), ("mean", averages(scores))):
            size = {"rows": len(own.rows), "part": part}
            yield {**facts, **size, "classifier": classifier, **values}


def summary(results: Results) -> list[str]:
    """Markdown: loss of accuracy and AUC in points when all rows are replaced, and by part."""
    rows = [row for row in results.select(experiment=NAME) if row["classifier"] == "mean"]
    if not rows:
        return []
    lines = [
        f"### {NAME}",
        "",
        "Points of accuracy and AUC (mean of six classifiers) when all training rows are replaced"
        " by as many synthetic ones, 95% over splits in brackets. Level: of the real rows.",
        "",
    ]
    sets = sorted({row["set"]: row["rows"] for row in rows}.items(), key=lambda one: -one[1])
    epsilons = [e for e in EPSILONS if any(row["epsilon"] == e for row in rows)]
    for measure in ("accuracy", "AUC"):
        body = [
            [
                f"{name} ({size:,})",
                _level(rows, name, measure),
                *(points(_loss(rows, name, epsilon, measure, 1.0)) for epsilon in epsilons),
            ]
            for name, size in sets
        ]
        large = [name for name, size in sets if size >= LARGE]
        means = [_mean_loss(rows, large, epsilon, measure) for epsilon in epsilons]
        body.append([f"**mean of sets with {LARGE:,} rows or more**", "", *means])
        head = [measure, "level", *map(epsilon_words, epsilons)]
        lines += [*table(head, body), ""]
    lines += [*_by_part(rows, [name for name, _ in sets], epsilons), ""]
    return lines


def _by_part(rows: Sequence[Row], sets: Sequence[str], epsilons: Sequence[float]) -> list[str]:
    body = []
    for epsilon in epsilons:
        losses = [
            np.mean([_loss(rows, name, epsilon, "accuracy", part)[0] for name in sets])
            for part in PARTS[1:]
        ]
        body.append([epsilon_words(epsilon), *(f"{100 * loss:+.1f}" for loss in losses)])
    head = ["accuracy, mean of all sets", *(f"{part:.0%} synthetic" for part in PARTS[1:])]
    return table(head, body)


def _level(rows: Sequence[Row], name: str, measure: str) -> str:
    own = [row[measure] for row in rows if (row["set"], row["part"]) == (name, 0.0)]
    return f"{100 * np.mean(own):.1f}"


def _loss(
    rows: Sequence[Row], name: str, epsilon: float, measure: str, part: float
) -> tuple[float, float, float]:
    own = [row for row in rows if (row["set"], row["epsilon"]) == (name, epsilon)]
    by_part = {p: {r["split"]: r[measure] for r in own if r["part"] == p} for p in (0.0, part)}
    losses = [by_part[part][split] - by_part[0.0][split] for split in by_part[part]]
    return mean_with_interval(losses, TEST / (1 - TEST))


def _mean_loss(rows: Sequence[Row], sets: Sequence[str], epsilon: float, measure: str) -> str:
    losses = [_loss(rows, name, epsilon, measure, 1.0)[0] for name in sets]
    return f"**{100 * np.mean(losses):+.1f}**" if losses else "-"
